"""Holds the answers of the test JsonSchema.EveryAnswerOfARandomModelIsValid against the package jsonschema.

    LINEA_SCHEMAS=1000 LINEA_SCHEMAS_FILE=answers.jsonl linea_lm_tests --gtest_filter=JsonSchema.EveryAnswer*
    python check_json_schemas.py answers.jsonl
"""

from __future__ import annotations

import json
import sys

from jsonschema import Draft202012Validator


def main() -> None:
    wrong = total = 0
    for line in open(sys.argv[1], encoding="utf-8"):
        row = json.loads(line)
        total += 1
        errors = list(Draft202012Validator(row["schema"]).iter_errors(json.loads(row["answer"])))
        if errors:
            wrong += 1
            print(json.dumps(row["schema"]), "got", row["answer"], ":", errors[0].message)
    print(f"{total} answers, {wrong} invalid")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
