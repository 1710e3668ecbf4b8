"""Types of functions, by name: a function that is not listed has no rule."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CANONICAL_NAMES = {
    **dict.fromkeys(_names("__add__ __radd__ __iadd__"), "add"),
    **dict.fromkeys(_names("__sub__ __isub__ __rsub__ rsub subtract subtract_"), "sub"),
    **dict.fromkeys(_names("__mul__ __rmul__ __imul__ multiply multiply_"), "mul"),
    **dict.fromkeys(_names("__truediv__ __itruediv__ __div__ __idiv__ divide divide_ true_divide true_divide_"), "div"),
    **dict.fromkeys(_names("__rtruediv__ __rdiv__"), "reciprocal"),
    **dict.fromkeys(_names("__matmul__ __rmatmul__"), "matmul"),
    **dict.fromkeys(_names("__pow__ __ipow__"), "pow"),
    **dict.fromkeys(_names("__neg__ negative"), "neg"),
}
"""The canonical name of functions with several names."""
IN_PLACE = _names("__iadd__ __isub__ __imul__ __itruediv__ __idiv__ __ipow__")
"""In-place operators."""

ROUTING = _names(
    """
    reshape reshape_as view view_as flatten unflatten ravel permute transpose t T mT H mH movedim moveaxis swapaxes
    swapdims squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile contiguous clone to float
    double type type_as cpu cuda cat concat concatenate stack hstack vstack dstack split split_with_sizes chunk
    tensor_split unbind narrow select index_select gather take_along_dim __getitem__ __setitem__ copy diagonal
    masked_select masked_fill where pad constant_pad_nd roll flip fliplr flipud rot90 pixel_shuffle pixel_unshuffle
    channel_shuffle native_channel_shuffle unfold as_strided tril triu max_pool1d max_pool2d max_pool3d
    max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d max min amax amin maximum minimum sort topk zero fill requires_grad real atleast_1d atleast_2d
    atleast_3d meshgrid fmax fmin
    """
)
"""Functions that move, copy or select values: relevance follows the gradient."""

GATES = _names("sigmoid hardsigmoid tanh erf relu6 hardtanh special_expit special_erf")
"""Functions whose output acts as a gate where it is multiplied with a signal."""

ELEMENTWISE = GATES | _names(
    """
    relu leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish softplus softsign logsigmoid threshold clamp
    clamp_min clamp_max clip tanhshrink softshrink hardshrink neg abs exp expm1 log log1p sqrt rsqrt square pow
    reciprocal sin cos dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout
    normalize
    """
)
"""Functions of one value each. The length by which `normalize` divides is constant."""

AFFINE = _names(
    """
    add sub sum mean cumsum diff fold avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d interpolate upsample upsample_bilinear upsample_nearest
    """
)
"""Functions that are jointly linear in all their tensors."""

BILINEAR = {
    **dict.fromkeys(_names("matmul mm bmm mv dot inner outer tensordot grid_sample linear bilinear"), 0),
    **dict.fromkeys(_names("einsum addmm addbmm baddbmm addmv addcmul"), 1),
}
"""Functions that multiply their tensors, and the index of their first factor."""

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
WEIGHTED = {
    "linear": ("input", "weight", "bias"),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _CONV),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _TRANSPOSED),
}
"""Layers with weights, and the names of their arguments."""

UNCAUGHT = _names(
    """
    Mul Add Sub Rsub Div Mean Sum Addmm Mm Bmm Baddbmm Mv Convolution CudnnConvolution MkldnnConvolution Sigmoid Relu
    Gelu Silu Tanh Hardswish Hardsigmoid Hardtanh Elu LeakyRelu Mish Softplus Clamp Softmax LogSoftmax Pow Exp Log Sqrt
    Rsqrt NativeBatchNorm CudnnBatchNorm NativeLayerNorm NativeGroupNorm AvgPool2D AdaptiveAvgPool2D DifferentiableGraph
    """
)
"""Autograd nodes that occur in the graph only if something ran where no mode could intercept it."""
