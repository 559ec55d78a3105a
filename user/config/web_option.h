/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the options of `run` for the process that serves HTTP. @AT: the offset of a member of
 * struct run_config. */
#pragma once

#include "config/option.h"

/* clang-format off */
#define WEB_OPTIONS(AT)                                                                            \
	{"web", "ADDRESS",                                                                         \
	 "Serve the page, JSON and the metrics of all services of the host at this address, as "   \
	 "`web --listen ADDRESS` does. One process serves them for all services of FILE, so if several "   \
	 "have this option, they must agree (default: none)",                                      \
	 option_set_http_text, AT(web)},                                                           \
	{"web-admin", NULL, "With --web: allow actions, as `web --admin` does", option_set_flag,   \
	 AT(web_admin)},                                                                           \
	{"web-token-file", "FILE", "With --web: the file with the token, see `web`",               \
	 option_set_text, AT(web_token_file)},                                                     \
	{"web-host", "NAME", "With --web: also answer requests for this host name, see `web`",     \
	 option_set_text, AT(web_host)}
/* clang-format on */
