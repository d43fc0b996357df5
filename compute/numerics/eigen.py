"""Lowest eigenvectors of a dense symmetric matrix, in little memory and without holding Python's lock."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_lapack

from compute.errors import ClusteringError

__all__ = ["lowest_eigenvectors"]

BLOCK = 64  # columns that LAPACK reduces together
MAX_N = 46_340  # LAPACK counts its n² numbers of scratch space in 32 bits

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def lowest_eigenvectors(
    matrix: NDArray[np.float64], k: int, *, device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the eigenvectors of the k smallest eigenvalues.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float64, C-contiguous
        Symmetric; destroyed.
    k : int
        1 <= k <= n.
    device : str
        "cpu", or a torch device that decomposes the whole matrix in its own memory (about 4 n² numbers).

    Returns
    -------
    values : ndarray of shape (k,), float64
        Ascending.
    vectors : ndarray of shape (n, k), float64
        Orthonormal columns, of either sign.

    Raises
    ------
    ClusteringError
        n > 46,340, or no convergence.

    Notes
    -----
    Householder tridiagonalisation (dsytrd), divide and conquer (dstedc), and back-transformation of only the k
    vectors wanted (dormtr): (4/3) n³ operations, up to as many again, and 2 n² k. Of LAPACK's ready-made drivers,
    the one for a range of eigenvalues (dsyevr) orthogonalises vectors one by one and takes twice as long, and the
    one for all (dsyevd) transforms back all n. Memory: 2 n² numbers besides the matrix. LAPACK is called without
    Python's lock, which SciPy's own functions hold, so that a thread that reports progress goes on meanwhile.

    References
    ----------
    Anderson et al., LAPACK Users' Guide, SIAM 1999;
    Gu and Eisenstat, SIAM J. Matrix Anal. Appl. 16(1), 1995.

    Examples
    --------
    >>> values, vectors = lowest_eigenvectors(np.array([[2.0, 1.0], [1.0, 2.0]]), 1)
    >>> round(float(values[0]), 9)
    1.0
    """
    if device != "cpu":
        return _on_device(matrix, k, device)
    n = len(matrix)
    if n > MAX_N:
        raise ClusteringError(f"{n} tokens are too many for a dense eigendecomposition; the most is {MAX_N}")
    diagonal, off_diagonal, scales = np.empty(n), np.empty(n), np.empty(n)
    work = np.empty(max(BLOCK * n, 1))
    _lapack("dsytrd", "L", n, matrix, n, diagonal, off_diagonal, scales, work, len(work))
    rows = _tridiagonal_eigenvectors(diagonal, off_diagonal)[:k].copy()  # row j is the j-th vector
    _lapack("dormtr", "L", "L", "N", n, k, matrix, n, scales, rows, n, work, len(work))
    return diagonal[:k].copy(), rows.T


def _tridiagonal_eigenvectors(diagonal: NDArray[np.float64], off_diagonal: NDArray[np.float64]) -> NDArray[np.float64]:
    """All eigenvectors of a tridiagonal matrix as rows; its eigenvalues replace the diagonal, ascending."""
    n = len(diagonal)
    rows, work, counts = np.empty((n, n)), np.empty(1 + 4 * n + n * n), np.empty(3 + 5 * n, dtype=np.int32)
    _lapack("dstedc", "I", n, diagonal, off_diagonal, rows, n, work, len(work), counts, len(counts))
    return rows


def _lapack(name: str, *arguments: Any) -> None:
    """Call a LAPACK function of SciPy's build with letters, numbers and arrays; its last argument, info, is added."""
    info = ctypes.c_int(0)
    passed = [_reference(argument) for argument in arguments]
    capsule = cython_lapack.__pyx_capi__[name]
    address = _capsule_pointer(capsule, _capsule_name(capsule))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(passed) + 1))(address)
    function(*passed, ctypes.byref(info))
    if info.value:
        raise ClusteringError(f"the eigendecomposition did not converge (LAPACK's {name} answered {info.value})")


def _reference(argument: str | int | NDArray[np.generic]) -> Any:
    if isinstance(argument, str):
        return ctypes.byref(ctypes.c_char(argument.encode()))
    if isinstance(argument, int):
        return ctypes.byref(ctypes.c_int(argument))
    return argument.ctypes.data_as(ctypes.c_void_p)


def _on_device(matrix: NDArray[np.float64], k: int, device: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import torch

    values, vectors = torch.linalg.eigh(torch.from_numpy(matrix).to(device))
    return values[:k].cpu().numpy(), vectors[:, :k].cpu().numpy()
