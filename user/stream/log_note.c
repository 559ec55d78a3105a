/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_note.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stream/log_source.h"
#include "stream/log_target.h"

int log_note_open(struct log_process *log)
{
	static const struct log_message_place errors = {.stream = STDERR_FILENO};
	static const struct log_message nobody = {};

	log->notes = (struct log_source){.log = log, .fd = -1, .prefix = ""};
	log->notes.target = log_target_get(log, &errors, &nobody);
	return log->notes.target ? 0 : -ENOMEM;
}

void log_note(struct log_process *log, const char *format, ...)
{
	char line[4096];
	va_list args;
	int n = snprintf(line, sizeof(line), "%s: ", log->service);

	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
	va_end(args);
	strcat(line, "\n");
	log_source_add(&log->notes, line, strlen(line));
}
