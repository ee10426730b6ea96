"""What a finished and an unfinished build have on the disk."""

import numpy as np


def same(one, other):
    assert [one.asset(i) for i in range(len(one))] == [other.asset(i) for i in range(len(other))]
    np.testing.assert_array_equal(one.text, other.text)
    np.testing.assert_array_equal(one.image, other.image)
    alike = {"encoder", "store", "pictures", "left_out", "num_views", "count", "files"}
    assert {key: one.manifest[key] for key in alike} == {key: other.manifest[key] for key in alike}


def shards(out):
    folder = out.with_name(f".{out.name}.building")
    return {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*.safetensors")}
