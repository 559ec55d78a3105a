/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"
#include "stream/log.h"
#include "supervise/control.h"
#include "supervise/due.h"

void report_line(struct supervisor *sup, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_line("%s: %s", sup->name, line);
	control_send_line(sup, line);
}

void report_change(struct supervisor *sup)
{
	if (sup->on_change)
		due_now(sup, sup->on_change);
}
