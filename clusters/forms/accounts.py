"""What people send to make an account, or to invite somebody to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import UserCreationForm


class SignUpForm(UserCreationForm):
    """A name, a password twice and, if wanted, an address for mails."""

    email = forms.EmailField(required=False, max_length=254, label="E-mail")

    class Meta:
        model = get_user_model()
        fields = ("username", "email")
        labels = {"username": "Name"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password2"].label = "The password again"
