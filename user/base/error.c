/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void error_write(struct error *err, size_t at,
                                                              const char *format, va_list args)
{
	if (err)
		vsnprintf(err->text + at, sizeof(err->text) - at, format, args);
}

int error_set(struct error *err, int code, const char *format, ...)
{
	va_list args;

	if (err)
		err->status = EXIT_REFUSED;
	va_start(args, format);
	error_write(err, 0, format, args);
	va_end(args);
	return code;
}

int error_usage(struct error *err, const char *format, ...)
{
	va_list args;

	if (err)
		err->status = EXIT_USAGE;
	va_start(args, format);
	error_write(err, 0, format, args);
	va_end(args);
	return -EINVAL;
}

int error_add(struct error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_write(err, err ? strlen(err->text) : 0, format, args);
	va_end(args);
	return code;
}
