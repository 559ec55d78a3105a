/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of node: a first line with NODE_OPTIONS, then a word in each line. */
#include "core/node_inspect.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "fuzz.h"

static void run(const char *text, size_t size)
{
	_cleanup_free_ char *copy = strndup(text, size), *options = NULL;
	_cleanup_strv_ char **argv = NULL;
	const unsigned int slot = size % 1024;
	char *rest = copy, *word = strsep(&rest, "\n");
	unsigned int port;

	options = strdup(word);
	FUZZ_CHECK(options && strv_append(&argv, "node") == 0);
	while ((word = strsep(&rest, "\n")) && strv_length(argv) < 100)
		FUZZ_CHECK(strv_append(&argv, word) == 0);
	port = node_inspect_port(argv, options, slot);
	FUZZ_CHECK(node_inspect_set_port(argv, &options, slot) == 0);
	/* What is written now says the port of the slot. */
	FUZZ_CHECK(!port || node_inspect_port(argv, options, 0) == port);
}

const struct fuzz_target fuzz_target = {run, 64};
