"""Language models from local folders: loaded strictly, counted, and described by the role of every module."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoModelForCausalLM, GPTNeoXConfig
from transformers.utils import logging as transformers_logging

from compute.errors import CheckpointError

BYTES_PER_HASH = 1 << 20


@dataclass(frozen=True)
class ModuleRoles:
    """What the modules of one model family are for.

    Attributes
    ----------
    body : str
        Path of the network without its unembedding.
    input_embedding, unembedding, final_norm : str
        Paths of these three modules.
    layers : str
        Path of the list of layers.
    layer_linears, layer_norms : tuple of str
        Paths inside one layer.
    """

    body: str
    input_embedding: str
    unembedding: str
    final_norm: str
    layers: str
    layer_linears: tuple[str, ...]
    layer_norms: tuple[str, ...]


FAMILIES: Mapping[str, ModuleRoles] = {
    "gpt_neox": ModuleRoles(
        body="gpt_neox",
        input_embedding="gpt_neox.embed_in",
        unembedding="lm_head",  # saved as embed_out before transformers 5, which renames it on loading
        final_norm="gpt_neox.final_layer_norm",
        layers="gpt_neox.layers",
        layer_linears=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        layer_norms=("input_layernorm", "post_attention_layernorm"),
    ),
}


@dataclass(frozen=True)
class PythiaSize:
    """One size of the Pythia suite, with the names of its first release (v0) and of the paper."""

    layers: int
    d_model: int
    heads: int
    vocabulary: int  # padded
    v0: str
    paper: str


PYTHIA_SIZES: Mapping[str, PythiaSize] = {
    "pythia-70m": PythiaSize(6, 512, 8, 50304, "pythia-70m-v0", "pythia-19m"),
    "pythia-160m": PythiaSize(12, 768, 12, 50304, "pythia-160m-v0", "pythia-125m"),
    "pythia-410m": PythiaSize(24, 1024, 16, 50304, "pythia-410m-v0", "pythia-350m"),
    "pythia-1b": PythiaSize(16, 2048, 8, 50304, "pythia-1b-v0", "pythia-800m"),
    "pythia-1.4b": PythiaSize(24, 2048, 16, 50304, "pythia-1.4b-v0", "pythia-1.3b"),
    "pythia-2.8b": PythiaSize(32, 2560, 32, 50304, "pythia-2.8b-v0", "pythia-2.7b"),
    "pythia-6.9b": PythiaSize(32, 4096, 32, 50432, "pythia-6.9b-v0", "pythia-6.7b"),
    "pythia-12b": PythiaSize(36, 5120, 40, 50688, "pythia-12b-v0", "pythia-13b"),
}


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of one model; ``non_embedding = total - input_embedding - unembedding``."""

    total: int
    input_embedding: int
    unembedding: int
    non_embedding: int


def pythia_config(name: str) -> GPTNeoXConfig:
    """Configuration of a Pythia model.

    Parameters
    ----------
    name : str
        A key of `PYTHIA_SIZES`, its v0 name, or the paper's name.

    Raises
    ------
    CheckpointError
        If no size has this name.
    """
    size = next((size for key, size in PYTHIA_SIZES.items() if name in (key, size.v0, size.paper)), None)
    if size is None:
        raise CheckpointError(f"There is no Pythia size {name!r}; choose among {', '.join(PYTHIA_SIZES)}.")
    return GPTNeoXConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.d_model,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.d_model,
        max_position_embeddings=2048,
        eos_token_id=0,
    )


def module_roles(model: nn.Module) -> ModuleRoles:
    """The roles declared for the model's family.

    Raises
    ------
    CheckpointError
        If the family is unknown.
    """
    family = getattr(getattr(model, "config", None), "model_type", None)
    return _known_family(family, type(model).__name__)


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count parameters by role; also on the meta device. A tied unembedding counts as input embedding.

    Raises
    ------
    CheckpointError
        If the model's family is unknown.
    """
    roles = module_roles(model)
    embedding = model.get_parameter(f"{roles.input_embedding}.weight")
    unembedding = model.get_parameter(f"{roles.unembedding}.weight")
    total = sum(parameter.numel() for parameter in model.parameters())
    n_embedding = embedding.numel()
    n_unembedding = 0 if unembedding is embedding else unembedding.numel()
    return ParameterCount(total, n_embedding, n_unembedding, total - n_embedding - n_unembedding)


def load_checkpoint(path: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> nn.Module:
    """Load a model for evaluation from a local folder in Hugging Face's format.

    Parameters
    ----------
    path : Path
        Folder with ``config.json`` and safetensors weights.
    device : str or torch.device
        Where the model is put.
    dtype : torch.dtype
        Number format of the weights in memory, whatever it is on disk.

    Returns
    -------
    nn.Module
        In evaluation mode, no parameter requiring a gradient, attention by scaled dot product.

    Raises
    ------
    CheckpointError
        If the folder is missing or holds no checkpoint, the configuration cannot be read or is of an unknown family,
        the weights are damaged, lack a tensor, hold one too many, or hold a value that is not a number.

    Notes
    -----
    Nothing is downloaded and no code from the folder is run. What the weights lack is refused, never filled with
    random numbers.
    """
    path = Path(path)
    _known_family(_read_config(path).get("model_type"), f"The configuration in {path}")
    for file in _weight_files(path):
        _check_header(file, path)
    model = _from_pretrained(path, dtype)
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


def layer_modules(model: nn.Module, names: tuple[str, ...]) -> Iterator[str]:
    """Paths of the named modules in every layer, layer by layer."""
    layers = module_roles(model).layers
    for index, _ in enumerate(model.get_submodule(layers).children()):
        for name in names:
            yield f"{layers}.{index}.{name}"


def _known_family(family: Any, what: str) -> ModuleRoles:
    if not isinstance(family, str) or family not in FAMILIES:
        raise CheckpointError(
            f"{what} is of the model family {family!r}, which QuantaWeb does not know; it knows {', '.join(FAMILIES)}."
        )
    return FAMILIES[family]


def _read_config(path: Path) -> dict[str, Any]:
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


def _from_pretrained(path: Path, dtype: torch.dtype) -> nn.Module:
    """The model, with exactly the tensors that its configuration asks for."""
    try:
        with _quiet_loader():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="sdpa",
                ignore_mismatched_sizes=True,  # reported, and refused below by name
                output_loading_info=True,
            )
    except Exception as error:  # a damaged folder can fail anywhere inside the loader
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"The checkpoint in {path} cannot be loaded ({type(error).__name__}: {reason}). Its configuration and "
            "weights do not fit together or are damaged; copy the checkpoint again."
        ) from error
    model, report = loaded
    for kind, fault in (
        ("missing_keys", "lack"),
        ("unexpected_keys", "hold an unexpected"),
        ("mismatched_keys", "have the wrong shape for"),
    ):
        if report.get(kind):
            first = sorted(str(key[0]) if isinstance(key, tuple) else str(key) for key in report[kind])[0]
            raise CheckpointError(
                f"The weights in {path} {fault} {first} ({len(report[kind])} such tensors). They belong to another "
                "configuration or are incomplete; copy the checkpoint again."
            )
    return model


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
