"""The drawn corpus of the evaluation tests, for the report's."""

from tests.evaluation.conftest import faked

__all__ = ["faked"]
