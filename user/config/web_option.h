/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the options of `run` for the process that serves HTTP. @AT: the offset of a member of
 * struct run_config. */
#pragma once

#include "config/option.h"

/* Setters, for option_row.set. Of a const char *, the value itself, and of a char *, a copy: what
 * min_live_parse() takes. */
int web_option_set_min_live(void *member, const struct option_setting *setting, struct error *err);
int web_option_set_min_live_text(void *member, const struct option_setting *setting,
                                 struct error *err);

/* Of a char *, a copy: the text of an address with a port. */
int web_option_set_agent_text(void *member, const struct option_setting *setting,
                              struct error *err);

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
	 option_set_text, AT(web_host)},                                                           \
	{"web-min-live", "N|PERCENT",                                                              \
	 "With --web or --metrics: how many workers make a service ready, see `web`",              \
	 web_option_set_min_live_text, AT(web_min_live)},                                          \
	{"web-agent", "ADDRESS:PORT",                                                              \
	 "With --web: also answer agent checks of HAProxy at this address, see `web`",             \
	 web_option_set_agent_text, AT(web_agent)}
/* clang-format on */
