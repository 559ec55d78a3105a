/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>

#include "cli/command.h"

int cmd_run(struct invocation *i, struct error *err)
{
	_cleanup_run_loaded_ struct run_loaded loaded = {};
	int r = run_args_load(&i->run, &loaded, err);

	problems_print(stderr, &loaded.problems, false, true);
	return r < 0 ? r : error_set(err, -ENOSYS, "the supervisor is not built in yet");
}
