"""What a person sends about themselves and their keys."""

from __future__ import annotations

from collections.abc import Sequence

from django import forms

from clusters.forms.values import WholeField
from clusters.models import Profile


class PreferencesForm(forms.Form):
    unit = forms.ChoiceField(choices=Profile.Unit.choices)
    theme = forms.ChoiceField(choices=Profile.Theme.choices)
    email = forms.EmailField(required=False, max_length=254)
    is_mailed = forms.BooleanField(required=False)


class ApiKeyForm(forms.Form):
    """A key for scripts; the scopes are those that its owner may give."""

    name = forms.CharField(
        max_length=80, error_messages={"required": "Give the key a name; it tells you later what it is for."}
    )
    scopes = forms.MultipleChoiceField(error_messages={"required": "Choose what the key may do."})
    days = WholeField(
        min_value=1,
        max_value=365,
        error_messages={
            "invalid": "Write the days as a whole number from 1 to 365.",
            "required": "Write for how many days the key shall work, from 1 to 365.",
            "min_value": "A key lives at least one day.",
            "max_value": "A key lives at most 365 days.",
        },
    )

    def __init__(self, *args: object, scopes: Sequence[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101
        field.choices = [(scope, scope) for scope in scopes]
        field.error_messages["invalid_choice"] = f"%(value)s is not among what your roles allow: {', '.join(scopes)}."
