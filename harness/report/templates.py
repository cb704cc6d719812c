"""The report's templates (fixtures/report/*.j2): escaped by default, and strict about what they are given."""

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.report import changes, claim_words, fact_words
from harness.run import places


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(places.fixtures() / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": fact_words.clock,
        "octets": fact_words.octets,
        "title_of": claim_words.title,
        "fault_title": lambda fault: claim_words.fault_title(fault).replace("`", ""),
        "short": claim_words.short,
        "words": claim_words.words,
        "claims_in_short": changes.words,
        "px": lambda value: f"{value:.1f}".removesuffix(".0"),
    }
    environment.globals |= {"symbols": claim_words.SYMBOLS}
    return environment


def render(template: str, **given: Any) -> str:  # noqa: ANN401  a template takes what it takes
    """Fill a template. Raises jinja2's UndefinedError where it asks for what it was not given."""
    return _environment().get_template(template).render(**given)
