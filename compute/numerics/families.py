"""Model families: what every module of a causal language model is for, declared and never guessed from a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from compute.errors import CheckpointError


@dataclass(frozen=True)
class ModuleRoles:
    """What the modules of one model family are for.

    Attributes
    ----------
    body : str
        Path of the network without its unembedding.
    embeddings : tuple of str
        Paths of the input embeddings: the tokens' first, then, where they are learned, the positions'.
    unembedding, final_norm : str
        Paths of these two modules.
    layers : str
        Path of the list of layers.
    layer_linears, layer_norms : tuple of str
        Paths inside one layer; with the above they own every parameter of the network.
    attention_output, mlp_norm, mlp_down : str
        Paths inside one layer: the linear map after the attention, the normalisation before the MLP, and the MLP's
        last linear map, whose input is the MLP activation.
    query : str or None
        Path inside one layer of the linear map that makes the queries alone; None if it makes keys and values too.
    attention : {"sdpa", "eager"}
        How the attention is computed: by scaled dot product where the family can.
    unembedding_files : tuple of str
        Other paths under which weight files hold the unembedding.
    stale_buffers : tuple of str
        Tensors inside one layer that older weight files hold and that are no parameters.
    """

    body: str
    embeddings: tuple[str, ...]
    unembedding: str
    final_norm: str
    layers: str
    layer_linears: tuple[str, ...]
    layer_norms: tuple[str, ...]
    attention_output: str
    mlp_norm: str
    mlp_down: str
    query: str | None = None
    attention: str = "sdpa"
    unembedding_files: tuple[str, ...] = ()
    stale_buffers: tuple[str, ...] = ()


def _llama(*head_norms: str) -> ModuleRoles:
    """Llama and those that share its names; biases, where a family has them, belong to their linear maps."""
    return ModuleRoles(
        body="model",
        embeddings=("model.embed_tokens",),
        unembedding="lm_head",
        final_norm="model.norm",
        layers="model.layers",
        layer_linears=(
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ),
        layer_norms=("input_layernorm", "post_attention_layernorm", *head_norms),
        attention_output="self_attn.o_proj",
        mlp_norm="post_attention_layernorm",
        mlp_down="mlp.down_proj",
        query="self_attn.q_proj",
        stale_buffers=("self_attn.rotary_emb.inv_freq",),
    )


FAMILIES: Mapping[str, ModuleRoles] = {
    "gpt_neox": ModuleRoles(
        body="gpt_neox",
        embeddings=("gpt_neox.embed_in",),
        unembedding="lm_head",
        final_norm="gpt_neox.final_layer_norm",
        layers="gpt_neox.layers",
        layer_linears=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        layer_norms=("input_layernorm", "post_attention_layernorm"),
        attention_output="attention.dense",
        mlp_norm="post_attention_layernorm",
        mlp_down="mlp.dense_4h_to_h",
        unembedding_files=("embed_out",),  # its name before transformers 5, which renames it on loading
        stale_buffers=("attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"),
    ),
    "gpt_neo": ModuleRoles(
        body="transformer",
        embeddings=("transformer.wte", "transformer.wpe"),
        unembedding="lm_head",
        final_norm="transformer.ln_f",
        layers="transformer.h",
        layer_linears=(
            "attn.attention.k_proj",
            "attn.attention.v_proj",
            "attn.attention.q_proj",
            "attn.attention.out_proj",
            "mlp.c_fc",
            "mlp.c_proj",
        ),
        layer_norms=("ln_1", "ln_2"),
        attention_output="attn.attention.out_proj",
        mlp_norm="ln_2",
        mlp_down="mlp.c_proj",
        query="attn.attention.q_proj",
        attention="eager",  # local layers and unscaled products: the family has no other
        stale_buffers=("attn.attention.bias", "attn.attention.masked_bias"),
    ),
    "gpt2": ModuleRoles(
        body="transformer",
        embeddings=("transformer.wte", "transformer.wpe"),
        unembedding="lm_head",
        final_norm="transformer.ln_f",
        layers="transformer.h",
        layer_linears=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),  # weights transposed
        layer_norms=("ln_1", "ln_2"),
        attention_output="attn.c_proj",
        mlp_norm="ln_2",
        mlp_down="mlp.c_proj",
        stale_buffers=("attn.bias", "attn.masked_bias"),
    ),
    "llama": _llama(),
    "mistral": _llama(),
    "qwen2": _llama(),
    "qwen3": _llama("self_attn.q_norm", "self_attn.k_norm"),
}


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of one model.

    ``non_embedding = total - input_embedding - unembedding``; the input embedding holds the tokens' vectors and,
    where they are learned, the positions'. An unembedding tied to the tokens' embedding counts as that.
    """

    total: int
    input_embedding: int
    unembedding: int
    non_embedding: int


def family_roles(family: Any, what: str) -> ModuleRoles:
    """The roles declared for a family, named as ``model_type`` in a configuration.

    Raises
    ------
    CheckpointError
        If the family is unknown; ``what`` begins the sentence.
    """
    if not isinstance(family, str) or family not in FAMILIES:
        raise CheckpointError(
            f"{what} is of the model family {family!r}, which QuantaWeb does not know; it knows {', '.join(FAMILIES)}."
        )
    return FAMILIES[family]


def module_roles(model: nn.Module) -> ModuleRoles:
    """The roles declared for the model's family.

    Raises
    ------
    CheckpointError
        If the family is unknown.
    """
    family = getattr(getattr(model, "config", None), "model_type", None)
    return family_roles(family, type(model).__name__)


def layer_modules(model: nn.Module, names: tuple[str, ...]) -> Iterator[str]:
    """Paths of the named modules in every layer, layer by layer."""
    layers = module_roles(model).layers
    for index, _ in enumerate(model.get_submodule(layers).children()):
        for name in names:
            yield f"{layers}.{index}.{name}"


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count parameters by role; also on the meta device.

    Raises
    ------
    CheckpointError
        If the model's family is unknown.
    """
    roles = module_roles(model)
    embedding = {id(p): p.numel() for path in roles.embeddings for p in model.get_submodule(path).parameters()}
    unembedding = {id(p): p.numel() for p in model.get_submodule(roles.unembedding).parameters()}
    n_embedding = sum(embedding.values())
    n_unembedding = sum(n for parameter, n in unembedding.items() if parameter not in embedding)
    total = sum(parameter.numel() for parameter in model.parameters())
    return ParameterCount(total, n_embedding, n_unembedding, total - n_embedding - n_unembedding)
