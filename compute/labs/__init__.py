"""The laboratory: experiments that really compute, by kind."""

from compute.labs.frame import Lab

_ALL: tuple[Lab, ...] = ()
LABS = {lab.kind: lab for lab in _ALL}
