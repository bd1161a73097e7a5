"""Prints what a JUnit report holds as `N passed, N failed`, and a line for each test that failed.

    junit.py REPORT.xml
"""

import sys
import xml.etree.ElementTree as xml

passed = failed = 0
for case in xml.parse(sys.argv[1]).getroot().iter("testcase"):
    if case.find("failure") is None and case.find("error") is None and case.find("skipped") is None:
        passed += 1
    else:
        failed += 1
        print(f"FAIL {case.get('classname')} {case.get('name')}")
print(f"{passed} passed, {failed} failed")
