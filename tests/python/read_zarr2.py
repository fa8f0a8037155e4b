"""What zarr-python 2 reads of a store, as JSON on standard output.

Usage: python read_zarr2.py STORE.zarr

As the peer's scripts open one: the groups of the root, and of each `x`, `energy`, `timestamps` and the attributes. Sums are exact:
of the values as Python's own doubles, in order. Needs zarr<3.
"""

import json
import math
import sys

import zarr

assert int(zarr.__version__.split(".")[0]) < 3, f"zarr {zarr.__version__} is not 2"
root = zarr.open_group(sys.argv[1], mode="r")
utterances = {}
for name, group in root.groups():
    x = group["x"][:]
    utterances[name] = {
        "attributes": dict(group.attrs),
        "shape": list(x.shape),
        "dtype": str(x.dtype),
        "sum": math.fsum(float(v) for v in x.ravel()),
        "last": float(x[-1, -1]),
        "energy": [float(v) for v in group["energy"][:]],
        "timestamps": [float(v) for v in group["timestamps"][:]],
    }
print(json.dumps({"zarr": zarr.__version__, "attributes": dict(root.attrs), "utterances": utterances}))
