"""The templates of the report's pages."""

from __future__ import annotations

import jinja2

from syncdiff.evaluation.names import PROTOCOLS, method_label
from syncdiff.registry.metrics import METRICS


def template(name: str) -> jinja2.Template:
    """Return a template of the folder `templates`; a name that it does not get is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("syncdiff.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"metrics": METRICS, "protocols": PROTOCOLS, "label": method_label}
    return environment.get_template(name)
