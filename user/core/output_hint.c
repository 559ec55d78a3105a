/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/output_hint.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const output_hint_in_use[] = {"eaddrinuse", "already in use", "address in use"};

static const char *const output_hint_taken[] = {
        "already running", "another instance", "pid file",       "pidfile",
        "lock file",       "lockfile",         "already locked", "is locked",
        "could not lock",  "couldn't lock",    "cannot lock",    "can't lock",
        "unable to lock",  "failed to lock",   "acquire lock",   "acquire the lock",
        "obtain lock",     "obtain the lock",  "get lock",
};

static const char *output_hint_find(const char *text, const char *const words[], size_t n)
{
	const char *found = NULL;

	for (size_t i = 0; !found && i < n; i++)
		found = strcasestr(text, words[i]);
	return found;
}

bool output_hint_runs_already(const char *text)
{
	return output_hint_find(text, output_hint_taken, ARRAY_SIZE(output_hint_taken)) ||
	       output_hint_find(text, output_hint_in_use, ARRAY_SIZE(output_hint_in_use));
}

/* The number at @digits, if it is a port. */
static uint16_t output_hint_number(const char *digits)
{
	const unsigned long n = isdigit((unsigned char)*digits) ? strtoul(digits, NULL, 10) : 0;

	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

/* The last number of the line after a colon, as in "0.0.0.0:80"; or the last one after "port". */
static uint16_t output_hint_port_in(const char *line, const char *end)
{
	uint16_t after_colon = 0, after_word = 0, n;

	for (const char *at = line; at < end; at++) {
		n = *at == ':' ? output_hint_number(at + 1) : 0;
		after_colon = n ? n : after_colon;
		n = !strncasecmp(at, "port ", 5) ? output_hint_number(at + 5) : 0;
		after_word = n ? n : after_word;
	}
	return after_word ? after_word : after_colon;
}

bool output_hint_address_in_use(const char *text, uint16_t *ret_port)
{
	const char *found =
	        output_hint_find(text, output_hint_in_use, ARRAY_SIZE(output_hint_in_use));
	const char *line = found;

	if (!found)
		return false;
	while (line > text && line[-1] != '\n')
		line--;
	*ret_port = output_hint_port_in(line, found + strcspn(found, "\n"));
	return true;
}
