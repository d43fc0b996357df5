"""Exponents that people enter: each its owner's, shared with everybody if they say so."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import URLValidator
from django.db import transaction

from clusters.display import one_line
from clusters.models import Study
from clusters.queries.access import User
from clusters.services.audit import record
from clusters.services.locks import lock_person

MOST_STUDIES = 200  # of one person
LEAST_EXPONENT, MOST_EXPONENT = 0.0001, 1000.0  # what lies beyond is a slip
YEARS = (1900, 2200)
EXPONENTS = {"alpha_n": "α_N", "alpha_d": "α_D", "alpha_s": "α_S"}
LENGTHS = {"name": 200, "domain": 100, "note": 500, "link": 300}
FIELDS = ("name", "year", "domain", *EXPONENTS, "note", "link", "is_shared")


def add_study(user: User, **fields: Any) -> Study:
    """Keep exponents of a study; raises PermissionDenied, ValidationError by field."""
    _must_be_somebody(user)
    assert user.pk is not None  # noqa: S101  (somebody has a key)
    study = Study(owner_id=user.pk, **_checked(fields))
    with transaction.atomic():
        lock_person(user)
        if Study.objects.filter(owner_id=user.pk).count() >= MOST_STUDIES:
            raise ValidationError(f"You have {MOST_STUDIES} entries, as many as one person may; delete one first.")
        study.save()
        record(user, "study.add", f"study {study.pk}", shared=study.is_shared)
    return study


def change_study(user: User, study: Study, **fields: Any) -> Study:
    """Change what is given of one's own entry."""
    _must_own(user, study)
    now = {name: getattr(study, name) for name in FIELDS}
    with transaction.atomic():
        for name, value in _checked(now | fields).items():
            setattr(study, name, value)
        study.save()
        record(user, "study.change", f"study {study.pk}", **dict.fromkeys(fields, True))
    return study


def delete_study(user: User, study: Study) -> None:
    """Remove one's own entry."""
    _must_own(user, study)
    with transaction.atomic():
        record(user, "study.delete", f"study {study.pk}", name=study.name)
        study.delete()


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, cleaned; ValidationError by field where they cannot be kept."""
    problems: dict[str, str] = {}
    found: dict[str, Any] = {"is_shared": bool(fields.get("is_shared"))}
    for name, most in LENGTHS.items():
        found[name] = one_line(str(fields.get(name) or ""))
        if len(found[name]) > most:
            problems[name] = f"The {name} is {len(found[name])} characters long; at most {most} fit."
    if not found["name"]:
        problems["name"] = "Say which study it is."
    if found["link"] and (problem := _link_problem(found["link"])):
        problems["link"] = problem
    for name, symbol in EXPONENTS.items():
        found[name] = fields.get(name)
        if found[name] is not None and not _is_exponent(found[name]):
            problems[name] = (
                f"{symbol} is {found[name]:g}; where loss falls its exponent lies from {LEAST_EXPONENT:g} to "
                f"{MOST_EXPONENT:g}."
            )
    if all(fields.get(name) is None for name in EXPONENTS):
        problems["alpha_n"] = "Give one exponent at least."
    found["year"] = year = fields.get("year")
    if year is not None and not YEARS[0] <= year <= YEARS[1]:
        problems["year"] = f"The year is {year}; give one from {YEARS[0]} to {YEARS[1]}."
    if problems:
        raise ValidationError(problems)
    return found


def _is_exponent(value: float) -> bool:
    return LEAST_EXPONENT <= value <= MOST_EXPONENT


def _link_problem(link: str) -> str:
    try:
        URLValidator(schemes=["http", "https"])(link)
    except ValidationError:
        return "The link is no address; give one that begins with https://."
    return ""


def _must_be_somebody(user: User) -> None:
    if not (user.is_authenticated and user.is_active):
        raise PermissionDenied("Sign in to keep exponents of your own.")


def _must_own(user: User, study: Study) -> None:
    _must_be_somebody(user)
    if study.owner_id != user.pk:
        raise PermissionDenied("Only whoever entered a study may change it.")
