"""The CUDA driver, which is all that a machine needs here: libcuda by ctypes."""

import ctypes
import sys
import time

import numpy

try:
    _driver = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    sys.exit(f"There is no GPU here: the NVIDIA driver's library isn't there ({error}). Nothing was measured.")


class Error(Exception):
    def __init__(self, call, code):
        text = ctypes.c_char_p()
        _driver.cuGetErrorString(code, ctypes.byref(text))
        super().__init__(f"{call}: error {code}, {(text.value or b'unknown').decode()}")
        self.code = code


def call(name, *args):
    """Calls the driver; integers are 64-bit, as sizes and pointers are, and take the place of smaller ones, too."""
    args = [ctypes.c_uint64(a & (2**64 - 1)) if isinstance(a, int) else a for a in args]
    if code := getattr(_driver, name)(*args):
        raise Error(name, code)


def made(name, *args, kind=ctypes.c_uint64):
    """What a call gives through its first argument."""
    result = kind()
    call(name, ctypes.byref(result), *args)
    return result.value


def start():
    """A context on the first GPU."""
    try:
        call("cuInit", 0)
        device = made("cuDeviceGet", 0, kind=ctypes.c_int)
        return made("cuCtxCreate_v2", 0, device)
    except Error as error:
        sys.exit(f"There is no usable GPU here ({error}). Nothing was measured.")


def machine():
    name = ctypes.create_string_buffer(99)
    call("cuDeviceGetName", name, 99, 0)
    return f"{name.value.decode()}, driver for CUDA {made('cuDriverGetVersion', kind=ctypes.c_int) / 1000}"


def alloc(size):
    return made("cuMemAlloc_v2", size)


def pinned(count, dtype, flags=0):
    size = count * numpy.dtype(dtype).itemsize
    at = made("cuMemHostAlloc", size, flags)
    return numpy.frombuffer((ctypes.c_char * size).from_address(at), dtype)


def put(at, array, stream=None):
    if stream is None:
        call("cuMemcpyHtoD_v2", at, array.ctypes.data, array.nbytes)
    else:
        call("cuMemcpyHtoDAsync_v2", at, array.ctypes.data, array.nbytes, stream)


def get(array, at, stream=None):
    if stream is None:
        call("cuMemcpyDtoH_v2", array.ctypes.data, at, array.nbytes)
    else:
        call("cuMemcpyDtoHAsync_v2", array.ctypes.data, at, array.nbytes, stream)


def sync():
    call("cuCtxSynchronize")


class Module:
    def __init__(self, image):
        self.handle = made("cuModuleLoadData", image)

    def function(self, name):
        return made("cuModuleGetFunction", self.handle, name.encode())

    def variable(self, name):
        return made("cuModuleGetGlobal_v2", None, self.handle, name.encode())


def launch(function, source, target, lo, hi, stream=0, blocks=None, threads=256):
    """Items `lo` to `hi`: one for each thread, or in strides of so many blocks."""
    blocks = blocks or -(-(hi - lo) // threads)
    values = [ctypes.c_uint64(v) for v in (source, target, lo, hi)]
    params = (ctypes.c_void_p * 4)(*map(ctypes.addressof, values))
    call("cuLaunchKernel", function, blocks, 1, 1, threads, 1, 1, 0, stream, params, None)


def device_ms(work, repeat=20):
    """What the work takes on the device: the median, and the least."""
    begin, end = made("cuEventCreate", 0), made("cuEventCreate", 0)
    times = []
    for round in range(repeat + 2):
        call("cuEventRecord", begin, 0)
        work()
        call("cuEventRecord", end, 0)
        call("cuEventSynchronize", end)
        took = made("cuEventElapsedTime", begin, end, kind=ctypes.c_float)
        times += [took] if round >= 2 else []
    return numpy.median(times), min(times)


def wall_ms(work, repeat=7):
    """What it takes on the wall until all is done: the median, and the least."""
    times = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        work()
        sync()
        times.append((time.perf_counter() - begin) * 1e3)
    return numpy.median(times[1:]), min(times[1:])
