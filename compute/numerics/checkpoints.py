"""Language models from local folders: loaded strictly or refused, and counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GPTNeoXConfig
from transformers.utils import logging as transformers_logging

from compute.errors import CheckpointError
from compute.numerics.families import ModuleRoles, count_parameters, family_roles, module_roles
from compute.registry import SUITES

DTYPES = (torch.float32, torch.bfloat16, torch.float64)
MOST_LAYERS = 1000


PYTHIA_SIZES = tuple(size.lm for size in SUITES["pythia"].sizes)
_HEADS = {"70m": 8, "160m": 12, "410m": 16, "1b": 8, "1.4b": 16, "2.8b": 32, "6.9b": 32, "12b": 40}


def pythia_config(name: str) -> GPTNeoXConfig:
    """Configuration of a Pythia model.

    Parameters
    ----------
    name : str
        One of `PYTHIA_SIZES`, its v0 name, or the paper's name.

    Raises
    ------
    CheckpointError
        If no size has this name.
    """
    known = (*SUITES["pythia"].sizes, *SUITES["pythia-v0"].sizes)
    size = next((size for size in known if name in size.names), None)
    if size is None:
        raise CheckpointError(f"There is no Pythia size {name!r}; choose among {', '.join(PYTHIA_SIZES)}.")
    return GPTNeoXConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.d_model,
        num_hidden_layers=size.n_layers,
        num_attention_heads=_HEADS[size.short],
        intermediate_size=4 * size.d_model,
        max_position_embeddings=2048,
        eos_token_id=0,
    )


def non_embedding_of_config(config: Mapping[str, Any]) -> tuple[int, int]:
    """Parameters of the network that a configuration describes, without making it.

    Parameters
    ----------
    config : mapping
        The content of a ``config.json``.

    Returns
    -------
    n_non_embedding, n_parameters : int
        Without the input embeddings (tokens and, where learned, positions) and the unembedding; and in all.

    Raises
    ------
    CheckpointError
        If the family is unknown or the configuration describes no network.

    Examples
    --------
    >>> non_embedding_of_config(pythia_config("pythia-70m").to_dict())
    (18915328, 70426624)
    """
    model = skeleton_of_config(config)
    count = count_parameters(model)
    return count.non_embedding, count.total


def skeleton_of_config(config: Mapping[str, Any]) -> nn.Module:
    """The modules of the network that a configuration describes, on the meta device: shapes without numbers.

    Parameters
    ----------
    config : mapping
        The content of a ``config.json``.

    Raises
    ------
    CheckpointError
        If the family is unknown or the configuration describes no network.
    """
    _known_network(config, "The configuration")
    try:
        with torch.device("meta"), _quiet_loader():
            described = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
            model = AutoModelForCausalLM.from_config(described, attn_implementation="eager")
    except Exception as error:  # a wrong value can fail anywhere inside the network's construction
        raise CheckpointError(
            f"The configuration describes no network ({type(error).__name__}: {_first_line(error)}). Copy config.json "
            "again."
        ) from error
    return model


def load_checkpoint(
    path: Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    head_dtype: torch.dtype | None = None,
) -> nn.Module:
    """Load a model for evaluation from a local folder in Hugging Face's format.

    Parameters
    ----------
    path : Path
        Folder with ``config.json`` and safetensors weights, in one file or several.
    device : str or torch.device
        Where the model is put.
    dtype : torch.dtype
        Number format of the weights in memory, whatever it is on disk: float32, bfloat16 or float64.
    head_dtype : torch.dtype or None
        Number format of the unembedding, read from the files at their own precision and then no longer tied to the
        tokens' embedding. None for ``dtype``.

    Returns
    -------
    nn.Module
        In evaluation mode, no parameter requiring a gradient, attention by scaled dot product where the family can.

    Raises
    ------
    CheckpointError
        If the folder is missing or holds no checkpoint, the configuration cannot be read or is of an unknown family,
        the weights are damaged, lack a tensor, hold one too many, or hold a value that is not a number, or the
        number format is another.

    Notes
    -----
    Nothing is downloaded and no code from the folder is run. What the weights lack is refused, never filled with
    random numbers.
    """
    path = Path(path)
    for wanted in (dtype, head_dtype or dtype):
        if wanted not in DTYPES:
            raise CheckpointError(
                f"Weights cannot be held as {wanted}: large ones would overflow. Choose torch.float32 or "
                "torch.bfloat16."
            )
    config = read_config(path)
    roles = _known_network(config, f"The configuration in {path}")
    _refuse_length_dependent_rotation(config, path)
    files = _weight_files(path)
    for file in files:
        _check_header(file, path)
    model = _from_pretrained(path, roles, dtype)
    if head_dtype not in (None, dtype):
        _replace_head(model, files, head_dtype)
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise CheckpointError(
                f"The weights in {path} are no numbers: {name} holds NaN or infinity. The file is damaged or training "
                "diverged; copy the checkpoint again or take an earlier one."
            )
    return model.to(device).eval().requires_grad_(False)


def weights_sha256(path: Path) -> str:
    """Hash of the weights in a checkpoint folder.

    One file gives the hash of its content, as ``sha256sum`` prints it; of several, the hash of their names and
    hashes in order of name.

    Raises
    ------
    CheckpointError
        If the folder holds no weights.
    """
    files = _weight_files(Path(path))
    hashes = [_file_sha256(file) for file in files]
    if len(files) == 1:
        return hashes[0]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(hashes, files, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def read_config(path: Path) -> dict[str, Any]:
    """The folder's configuration."""
    if not path.is_dir():
        raise CheckpointError(f"There is no checkpoint folder {path}. Check the path, or copy the checkpoint there.")
    file = path / "config.json"
    if not file.is_file():
        raise CheckpointError(
            f"{path} is not a checkpoint: it has no config.json. Name the folder that holds config.json and "
            "model.safetensors."
        )
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The configuration {file} cannot be read ({error}). Copy the checkpoint again."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"The configuration {file} is not a JSON object. Copy the checkpoint again.")
    return config


def _weight_files(path: Path) -> list[Path]:
    """Safetensors files of the folder, those that its index names, in order of name."""
    index = path / "model.safetensors.index.json"
    if (path / "model.safetensors").is_file() or not index.is_file():
        files = [path / "model.safetensors"]
    else:
        try:
            files = sorted({path / Path(name).name for name in json.loads(index.read_bytes())["weight_map"].values()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"The list of weights {index} cannot be read. Copy the checkpoint again.") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise CheckpointError(
            f"{path} holds no weights: {missing[0] if missing else 'any file'} is missing. Copy the checkpoint again, "
            "or convert its weights to safetensors."
        )
    return files


def _check_header(file: Path, path: Path) -> None:
    """Refuse a file whose header and length disagree."""
    try:
        with safe_open(file, framework="pt") as tensors:
            tensors.keys()
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"The weights in {path} are damaged or cut short ({file.name}: {error}). Copy the checkpoint again."
        ) from error


def _known_network(config: Mapping[str, Any], what: str) -> ModuleRoles:
    """The roles of the family, for a network that can be made."""
    roles = family_roles(config.get("model_type"), what)
    for key in ("num_hidden_layers", "num_layers", "n_layer"):
        n_layers = config.get(key, 1)
        if not isinstance(n_layers, int) or not 1 <= n_layers <= MOST_LAYERS:
            raise CheckpointError(
                f"{what} gives {key} as {n_layers!r}, which is no number of layers from 1 to {MOST_LAYERS}. Copy the "
                "checkpoint again."
            )
    return roles


def _refuse_length_dependent_rotation(config: dict[str, Any], path: Path) -> None:
    """A token's loss must not depend on how long the text or its batch is."""
    rotation = config.get("rope_parameters") or config.get("rope_scaling")
    kind = (rotation.get("rope_type") or rotation.get("type")) if isinstance(rotation, dict) else None
    if kind == "longrope":
        raise CheckpointError(
            f"The rotary positions in {path} are of the kind 'longrope': they change with the length of the text, so "
            "a token would have another loss in another batch. Take a model with ordinary rotary positions."
        )


def _from_pretrained(path: Path, roles: ModuleRoles, dtype: torch.dtype) -> nn.Module:
    """The model, with exactly the tensors that its configuration asks for."""
    try:
        with _quiet_loader():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation=roles.attention,
                ignore_mismatched_sizes=True,  # reported, and refused below by name
                output_loading_info=True,
            )
    except Exception as error:  # a damaged folder can fail anywhere inside the loader
        raise CheckpointError(
            f"The checkpoint in {path} cannot be loaded ({type(error).__name__}: {_first_line(error)}). Its "
            "configuration and weights do not fit together or are damaged; copy the checkpoint again."
        ) from error
    model, report = loaded
    for kind, fault in (
        ("missing_keys", "lack"),
        ("unexpected_keys", "hold an unexpected"),
        ("mismatched_keys", "have the wrong shape for"),
    ):
        names = sorted(str(key[0]) if isinstance(key, tuple) else str(key) for key in report.get(kind, ()))
        wrong = [name for name in names if not name.endswith(tuple(f".{stale}" for stale in roles.stale_buffers))]
        if wrong:
            raise CheckpointError(
                f"The weights in {path} {fault} {wrong[0]} ({len(wrong)} such tensors). They belong to another "
                "configuration or are incomplete; copy the checkpoint again."
            )
    return model


def _replace_head(model: nn.Module, files: list[Path], dtype: torch.dtype) -> None:
    """Give the model an unembedding of its own in another number format, read from the weight files."""
    roles = module_roles(model)
    loaded = model.get_parameter(f"{roles.unembedding}.weight")
    names = [roles.unembedding, *roles.unembedding_files]
    if loaded is model.get_parameter(f"{roles.embeddings[0]}.weight"):
        names += [roles.embeddings[0], roles.embeddings[0].removeprefix(f"{roles.body}.")]
    weight = _read_tensor(files, [f"{name}.weight" for name in names])
    if weight is None or not torch.equal(weight.to(loaded.dtype), loaded):
        raise CheckpointError(
            f"The weights in {files[0].parent} hold no unembedding under any of the names {', '.join(names)}. Load the "
            "checkpoint with a single number format."
        )
    separate = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    separate.weight = nn.Parameter(weight.to(dtype))
    model.set_submodule(roles.unembedding, separate)


def _read_tensor(files: list[Path], names: list[str]) -> torch.Tensor | None:
    """The first of the named tensors that the files hold."""
    for name in names:
        for file in files:
            with safe_open(file, framework="pt") as tensors:
                if name in tensors.keys():  # noqa: SIM118 - the file is no mapping
                    return tensors.get_tensor(name)
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


@contextmanager
def _quiet_loader() -> Iterator[None]:
    """Keep the loader's bars and tables off the screen: what matters in them is raised as an error."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _file_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
