"""The front door: runs a command, and turns whatever goes wrong into one sentence and an exit status."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from lora_plan.errors import UsageError
from lora_plan.output import prepare_streams, write_error, write_json
from planner.errors import Abstention, InputError, NotMeasured, NoUsableDevice

NOT_MET = 1
BAD_INPUT = 2
NO_DEVICE = 3
INTERNAL = 4
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `lora-plan` with `argv` (by default the process's own) and give its exit status.

    0 done, 1 a check asked for was not met, or a measurement had no end, 2 bad input or a plan refused, 3 no device to
    measure on, 4 an error of lora-plan itself.
    """
    if argv is None:
        # a plan is one short process: looking for cycles takes longer than what they hold is worth
        gc.disable()
    arguments = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except InputError as error:
        kind = "usage" if isinstance(error, UsageError) else "input"
        return _refuse(str(error), error.field, kind, arguments)
    except Abstention as error:
        return _refuse(str(error), None, "abstained", arguments)
    except NoUsableDevice as error:
        return _refuse(str(error), "device", "no_device", arguments, NO_DEVICE)
    except NotMeasured as error:
        return _refuse(str(error), None, "not_measured", arguments, NOT_MET)
    except Exception as error:
        return _report(error, arguments)


def _run(arguments: list[str]) -> int:
    from lora_plan.app import run

    if not arguments:
        run(["--help"])
        return BAD_INPUT
    return run(arguments)


def _refuse(message: str, field: str | None, kind: str, arguments: list[str], status: int = BAD_INPUT) -> int:
    write_error(message)
    if "--json" in arguments:
        from reports.json import error_json

        write_json(error_json(message, field, kind))
    return status


def _report(error: Exception, arguments: list[str]) -> int:
    if os.environ.get("LORA_PLAN_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    message = (
        f"an error of lora-plan itself ({type(error).__name__}: {str(error)[:200]}); please report it with "
        "the command, and with what LORA_PLAN_DEBUG=1 prints"
    )
    return _refuse(message, None, "internal", arguments, INTERNAL)


if __name__ == "__main__":
    sys.exit(main())
