/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/watch_log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "stream/log.h"

void watch_log(const char *service, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	log_line("%s: %s", service, text ? text : "out of memory");
}
