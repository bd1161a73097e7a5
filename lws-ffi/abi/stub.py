#!/usr/bin/env python3
"""A library whose functions have the signatures of the headers and do nothing: what tools for ABIs read types from, as Rust's debug
information names none of C.

    stub.py INCLUDE >stub.c
"""

import re
import sys
from pathlib import Path

DECLARATION = re.compile(r"^(?P<result>(?:const )?\w+ \*?)(?P<name>lwx_\w+)\((?P<arguments>[^;{}]*)\);", re.MULTILINE)

text = "".join((Path(sys.argv[1]) / name).read_text() for name in ("lwx_base.h", "lwx_engine.h", "lwx.h"))
print("#include <lwx_engine.h>\n#include <lwx.h>")
for found in DECLARATION.finditer(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
    result = found["result"].strip()
    body = "" if result == "void" else "return 0;"
    print(f"{found['result']}{found['name']}({found['arguments']}) {{ {body} }}")
