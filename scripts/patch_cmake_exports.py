"""Makes the CMake files of the ROS wheels name this interpreter instead of their build machine's.

The wheels export include folders such as `/opt/python/cp311-cp311/include/python3.11`, which CMake
refuses because they do not exist here. Patching twice does no harm.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

REPLACEMENTS = {
    r"/opt/python/[^\s;\"]*/numpy/(?:_core|core)/include": np.get_include(),
    r"/opt/python/[^\s;\"/]*/include/python3\.\d+": sysconfig.get_config_var("INCLUDEPY"),
}


def main() -> None:
    """Patches every CMake file below the environment's share folder."""
    patched = 0
    for path in Path(sys.prefix, "share").rglob("*.cmake"):
        before = after = path.read_text()
        for pattern, replacement in REPLACEMENTS.items():
            after = re.sub(pattern, lambda _, text=replacement: text, after)
        if after != before:
            # The package cache may share the file with other environments: write a new one.
            path.unlink()
            path.write_text(after)
            patched += 1
    print(f"patched {patched} CMake files")


if __name__ == "__main__":
    main()
