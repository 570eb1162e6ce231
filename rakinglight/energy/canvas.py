"""What is drawn on: the numbers that a descent moves, and the rows of pixels that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Parametrization = Literal["pixels", "fourier"]


class Canvas(Protocol):
    """z, which is moved, and x(z), rows [n, C, H, W] in [0, 1], which is seen."""

    z: Tensor

    def image(self) -> Tensor: ...

    def slope(self, g: Tensor) -> Tensor:
        """The derivative by z, where g is that by x: J^T g."""
        ...

    def settle(self) -> None:
        """Bring z back to where it may be, after a step."""
        ...


class Pixels:
    """The pixels themselves; what a step pushes out of [0, 1] is cut."""

    def __init__(self, x: Tensor) -> None:
        self.z = x

    def image(self) -> Tensor:
        return self.z

    def slope(self, g: Tensor) -> Tensor:
        return g

    def settle(self) -> None:
        self.z = self.z.clamp(0, 1)


class Fourier:
    """Coefficients of the image's spectrum, divided by how large they usually are; colours decorrelated.

    Photographs have amplitudes that fall as 1/f, and channels that go together. In these coordinates neither is so, and
    a step is of all scales and colours alike (Olah et al., "Feature Visualization", Distill 2017, "Preconditioning and
    Parameterization"). They keep x in (0, 1) by a sigmoid, in which black and white hardly move; here it is cut, as
    pixels are.
    """

    #: Square root of the covariance of colours in photographs, as the authors' program (lucid) has it.
    COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
    #: Of a frequency of one cycle a pixel: so strong a spectrum has about the spread of a photograph's values.
    AMPLITUDE = 0.05

    def __init__(self, x: Tensor) -> None:
        import torch

        *_, C, H, W = x.shape
        self._size = H, W
        frequencies = torch.hypot(torch.fft.fftfreq(H)[:, None], torch.fft.rfftfreq(W)[None, :])
        self._usual = self.AMPLITUDE / frequencies.clamp(min=1 / max(H, W)).to(x)
        # The inverse of a real spectrum has each coefficient twice, but for those of the first and a last column.
        self._times = torch.full((W // 2 + 1,), 2.0).to(x)
        self._times[0] = 1
        if W % 2 == 0:
            self._times[-1] = 1
        self._colours = self._uncoloured = torch.eye(C).to(x)
        if C == 3:
            colours = torch.tensor(self.COLOURS).to(x)
            self._colours = colours / colours.norm(dim=0).max()
            self._uncoloured = torch.linalg.inv(self._colours)
        self.z: Tensor = self._spectrum(x)
        self._shown = self.z, self._made(self.z)

    def image(self) -> Tensor:
        if self._shown[0] is not self.z:
            self._shown = self.z, self._made(self.z)
        return self._shown[1].clamp(0, 1)  # of what was settled, a rounding is cut

    def slope(self, g: Tensor) -> Tensor:
        import torch

        mixed = self._mixed(self._colours.T, g)
        spectrum = torch.fft.rfft2(mixed, norm="ortho") * (self._usual * self._times)
        return torch.view_as_real(spectrum).contiguous()

    def settle(self) -> None:
        import torch

        x = self._made(self.z)
        inside = ((x >= 0) & (x <= 1)).flatten(1).all(1)
        if inside.all():
            self._shown = self.z, x
        else:
            self.z = torch.where(inside.view(-1, 1, 1, 1, 1), self.z, self._spectrum(x.clamp(0, 1)))

    def _spectrum(self, x: Tensor) -> Tensor:
        import torch

        mixed = self._mixed(self._uncoloured, x - 0.5)
        return torch.view_as_real(torch.fft.rfft2(mixed, norm="ortho") / self._usual).contiguous()

    def _made(self, z: Tensor) -> Tensor:
        import torch

        mixed = torch.fft.irfft2(torch.view_as_complex(z) * self._usual, s=self._size, norm="ortho")
        return self._mixed(self._colours, mixed) + 0.5

    @staticmethod
    def _mixed(colours: Tensor, x: Tensor) -> Tensor:
        import torch

        return x if len(colours) != 3 else torch.einsum("ck,nkhw->nchw", colours, x)


def canvas_of(kind: Parametrization, x: Tensor) -> Canvas:
    """The canvas on which rows x [n, C, H, W] are."""
    return Fourier(x) if kind == "fourier" else Pixels(x)
