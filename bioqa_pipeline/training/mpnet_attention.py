"""MPNet's attention through torch's fused kernel, its position bias made once a batch or, where it is fixed, a length.

transformers has the plain attention alone for MPNet, and copies the bias for every window of a batch. The numbers of a
score have to stay as they are, so this is for training only.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention


class FusedSelfAttention(MPNetSelfAttention):
    """One layer's, given the bias of positions and padding together."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_bias: torch.Tensor | None = None,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> Any:
        """(n_windows, length, hidden) into the same, as a tuple of one."""
        if self.training and self.dropout.p > 0 and hidden_states.device.type == "cpu":
            # With dropout CPUs have no fused kernel, and torch's way round it is slower than the plain one.
            return super().forward(hidden_states, attention_mask, position_bias)  # type: ignore[no-untyped-call]
        shape = (*hidden_states.shape[:-1], -1, self.attention_head_size)
        query, key, value = (project(hidden_states).view(shape).transpose(1, 2) for project in (self.q, self.k, self.v))
        dropout = self.dropout.p if self.training else 0.0
        mixed = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=position_bias, dropout_p=dropout
        )
        return (self.o(mixed.transpose(1, 2).flatten(2)),)


class FusedEncoder(MPNetEncoder):
    """All layers, which share one bias.

    Attributes:
        buckets: by length, which row of the bias's table two positions take, (length, length).
        fixed_biases: by length, the bias itself where it is not trained.
    """

    buckets: dict[int, torch.Tensor]
    fixed_biases: dict[int, torch.Tensor]

    def forward(  # type: ignore[override]
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        """(n_windows, length, hidden) into the same."""
        bias = self.compute_position_bias(hidden_states)
        if attention_mask is not None:
            bias = bias + attention_mask
        if torch.is_autocast_enabled(hidden_states.device.type):
            # Here, and not again in every layer.
            bias = bias.to(torch.get_autocast_dtype(hidden_states.device.type))
        for layer in self.layer:
            hidden_states = layer(hidden_states, None, bias)[0]
        return BaseModelOutput(last_hidden_state=hidden_states)

    def compute_position_bias(self, x: torch.Tensor, position_ids: Any = None, num_buckets: int = 32) -> torch.Tensor:
        """(1, n_heads, length, length) of windows of this length."""
        length = x.shape[1]
        if length in self.fixed_biases:
            return self.fixed_biases[length]
        if length not in self.buckets:
            positions = torch.arange(length, device=x.device)
            apart = positions - positions[:, None]
            self.buckets[length] = self.relative_position_bucket(apart, num_buckets)  # type: ignore[no-untyped-call]
        bias: torch.Tensor = self.relative_attention_bias(self.buckets[length]).permute(2, 0, 1)[None]
        if not self.relative_attention_bias.weight.requires_grad:
            self.fixed_biases[length] = bias
        return bias


def fuse_attention(model: PreTrainedModel) -> PreTrainedModel:
    """The same model; an MPNet's weights, names and numbers stay, but for rounding."""
    for module in model.modules():
        if type(module) is MPNetSelfAttention:
            module.__class__ = FusedSelfAttention
        elif type(module) is MPNetEncoder:
            module.__class__ = FusedEncoder
            vars(module).update(buckets={}, fixed_biases={})
    return model
