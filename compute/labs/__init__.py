"""The laboratory: experiments that really compute, by kind."""

from compute.labs.addition import LAB as ADDITION
from compute.labs.frame import Lab
from compute.labs.parity import LAB as PARITY
from compute.labs.parity_qdg import LAB as PARITY_QDG
from compute.labs.toy_qdg import LAB as TOY_QDG

_ALL: tuple[Lab, ...] = (PARITY, PARITY_QDG, TOY_QDG, ADDITION)
LABS = {lab.kind: lab for lab in _ALL}
