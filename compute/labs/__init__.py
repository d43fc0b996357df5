"""The laboratory: experiments that really compute, by kind."""

from compute.labs.addition import LAB as ADDITION
from compute.labs.frame import Lab

_ALL: tuple[Lab, ...] = (ADDITION,)
LABS = {lab.kind: lab for lab in _ALL}
