"""The templates of pages."""

from __future__ import annotations

import jinja2

from syncdiff.evaluation.names import PROTOCOLS, method_label
from syncdiff.registry.metrics import METRICS


def template(name: str, package: str = "syncdiff.report") -> jinja2.Template:
    """Return a template of a package's folder `templates`; a name that it does not get is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"metrics": METRICS, "protocols": PROTOCOLS, "label": method_label}
    return environment.get_template(name)
