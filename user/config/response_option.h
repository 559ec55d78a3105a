/* SPDX-License-Identifier: BSD-2-Clause */
/* The row of the option that counts HTTP responses, for each command that has it. @at: the offset
 * of the bool. */
#pragma once

#include "config/option.h"

#define RESPONSE_OPTION(at)                                                                        \
	{                                                                                          \
		"http", NULL,                                                                      \
		        "Count the HTTP/1 responses of each worker by class of status (1xx to "    \
		        "5xx), and their time to first byte, in the kernel; `status`, `top` and "  \
		        "`metrics` show them. The workers need no change. A connection "           \
		        "with TLS or HTTP/2 counts as one response of unknown status",             \
		        option_set_flag, (at)                                                      \
	}
