"""What administrators ask about people, and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from django import forms
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import search_text, whole_number
from clusters.values.audit import AuditAsked


class InvitationForm(forms.Form):
    """Whom to invite, and the roles that the account gets."""

    email = forms.EmailField(required=False, max_length=254)
    roles = forms.MultipleChoiceField(required=False)

    def __init__(self, *args: object, roles: Sequence[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        field = self.fields["roles"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101
        field.choices = [(role, role) for role in roles]


def audit_asked(query: QueryDict) -> AuditAsked:
    before = query.get("before", "")
    number = whole_number(before)
    if before and number is None:
        raise BadRequest(
            f"before is {before[:40]!r}; it is the number of an event, as the link to older ones gives it."
        )
    return AuditAsked(
        person=search_text(query, "person").strip(),
        action=search_text(query, "action").strip(),
        since=_day(query, "since"),
        until=_day(query, "until"),
        before=number,
    )


def _day(query: QueryDict, name: str) -> date | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name} is {text[:40]!r}; write a day like 2026-01-31.") from None
