/* SPDX-License-Identifier: BSD-2-Clause */
/* The log of `attach --watch`. */
#pragma once

/* Logs a line that begins with the name of the service. */
void watch_log(const char *service, const char *format, ...) __attribute__((format(printf, 2, 3)));
