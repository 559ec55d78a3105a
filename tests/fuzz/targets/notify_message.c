/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams of sd_notify(). Compared with another way to find the line. */
#include <string.h>

#include "core/notify_message.h"
#include "fuzz.h"

static void run(const char *text, size_t size)
{
	const size_t n = size && !text[size - 1] ? size - 1 : size;
	_Bool ready = 0;

	if (strlen(text) >= n)
		for (const char *at = text; at && !ready; at = strchr(at, '\n')) {
			at += *at == '\n';
			ready = !strncmp(at, "READY=1", 7) && (!at[7] || at[7] == '\n');
		}
	FUZZ_CHECK(notify_message_is_ready(text, size) == ready);
}

const struct fuzz_target fuzz_target = {run, 0};
