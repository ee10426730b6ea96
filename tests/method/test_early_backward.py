"""What goes back early gives the gradients of what goes back late, and remembers nothing."""

import pytest
import torch

from redream.method.early_backward import backward_now


def test_gradients_are_those_of_the_loss_and_the_graph_between_is_gone():
    leaf = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    picture, other = leaf * 2.0, leaf.sin()
    freed = []

    class Remembered(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.clone())
            return x**3

        @staticmethod
        def backward(ctx, upstream):
            freed.append(True)
            return upstream * 3.0 * ctx.saved_tensors[0] ** 2

    latents = Remembered.apply(picture)
    loss = backward_now({"a": (latents * other).sum()}, [picture, other])["a"]
    assert freed == [True]
    with pytest.raises(RuntimeError, match="second time"):
        latents.sum().backward(retain_graph=True)
    (5.0 * loss + picture.sum()).backward()
    mine = leaf.grad.clone()
    leaf.grad = None
    late = ((2.0 * leaf) ** 3 * leaf.sin()).sum()
    (5.0 * late + (2.0 * leaf).sum()).backward()
    torch.testing.assert_close(mine, leaf.grad)
    assert loss.item() == pytest.approx(late.item())
