"""What a person sends and asks for on the page of probes."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import affinity_of, chosen, unit_of, whole_number
from clusters.values.readings import Unit
from compute.jobs.probes import MAX_CHARACTERS
from compute.steps.probe import MAX_CHOSEN

EXAMPLES = {
    "python": (
        "Python",
        'import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser(description="Count words.")\n'
        '    parser.add_argument("path", help="a text file")\n    args = parser.parse_args()\n'
        '    with open(args.path, encoding="utf-8") as file:\n        print(len(file.read().split()))\n\n\n'
        'if __name__ == "__main__":\n    main()\n',
    ),
    "counting": ("A list that counts", "1. one\n2. two\n3. three\n4. four\n5. five\n6. six\n7. seven\n8. eight\n"),
    "licence": (
        "A licence",
        "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
        'documentation files (the "Software"), to deal in the Software without restriction, including without '
        "limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of "
        "the Software.\n",
    ),
    "prose": (
        "Prose",
        "The function returns a list of all the files in the directory. If the directory does not exist, an error is "
        "raised. The order of the files is not specified, and may change from one call to the next.\n",
    ),
}


class ProbeForm(forms.Form):
    text = forms.CharField(
        max_length=MAX_CHARACTERS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 9, "spellcheck": "false", "autocapitalize": "off"}),
        error_messages={
            "required": "Paste a text first: two words at least.",
            "max_length": f"The text is %(show_value)d characters long; at most {MAX_CHARACTERS:,} are taken.",
            "null_characters_not_allowed": "The text holds NUL characters. Take them out and ask again.",
        },
    )
    chosen = forms.CharField(required=False, widget=forms.HiddenInput)
    is_shared = forms.BooleanField(required=False, label="Let everyone who sees this run open the answer")

    def clean_text(self) -> str:
        text = str(self.cleaned_data["text"]).replace("\r\n", "\n").replace("\r", "\n")
        if not text.strip():
            raise forms.ValidationError("There is nothing but blank space in the text. Paste some words.")
        return text

    def clean_chosen(self) -> list[int]:
        numbers = [whole_number(part) for part in self.cleaned_data["chosen"].split(",") if part]
        if any(not number for number in numbers) or len(numbers) > MAX_CHOSEN:
            raise forms.ValidationError(f"Tokens are named by their positions, at most {MAX_CHOSEN} of them.")
        return sorted({number for number in numbers if number})


@dataclass(frozen=True)
class ProbeQuery:
    """Which part of an answer is looked at."""

    job: str
    at: int | None  # position in the text
    k: int | None
    affinity: str
    under: str  # the network whose losses shade the text; empty for the clustered one
    unit: Unit
    example: str


def probe_query(query: QueryDict, ks: dict[str, list[int]], networks: list[str]) -> ProbeQuery:
    affinity = affinity_of(query)
    k, own = query.get("k", ""), ks.get(affinity, [])
    if k and whole_number(k) not in own:
        raise BadRequest(f"k is {k[:40]!r}; this run has k = {', '.join(map(str, own)) or 'none'}.")
    at = query.get("at", "")
    if at and not whole_number(at):
        raise BadRequest(f"at is {at[:40]!r}; positions of tokens count from 1.")
    return ProbeQuery(
        job=query.get("job", ""),
        at=whole_number(at),
        k=whole_number(k),
        affinity=affinity,
        under=chosen(query, "under", ["", *networks], ""),
        unit=unit_of(query),
        example=chosen(query, "example", ["", *EXAMPLES], ""),
    )
