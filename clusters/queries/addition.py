"""What pages read of an experiment on modular addition: its row, and one network's curves."""

from __future__ import annotations

import numpy as np

from clusters.models import Experiment
from clusters.stored.arrays import experiment_array
from clusters.values.addition import Curves, Network, Sweep, sweep_of

MEASURES = ("loss/train", "loss/test", "accuracy/train", "accuracy/test", "periodicity", "norm")


def sweep(experiment: Experiment) -> Sweep:
    """Every network, as the row tells of it."""
    return sweep_of(experiment.found, experiment.config)


def curves(experiment: Experiment, network: Network) -> Curves:
    """What was measured of a network at every step that was looked at."""
    steps = np.asarray(experiment_array(experiment, "steps"))
    n = int(np.searchsorted(steps, network.n_steps, side="right"))
    values = {
        name: np.asarray(experiment_array(experiment, name)[network.index, :n], np.float64).tolist()
        for name in MEASURES
    }
    return Curves(steps[:n].tolist(), values)


def spectrum(experiment: Experiment, network: Network) -> list[float]:
    """Share of the weights' power at every frequency from 1, at the end of training."""
    return np.asarray(experiment_array(experiment, "spectrum")[network.index], np.float64).tolist()
