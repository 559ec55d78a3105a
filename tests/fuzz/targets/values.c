/* SPDX-License-Identifier: BSD-2-Clause */
/* Single values, as options and arguments have them. The first byte chooses the parser. What is
 * parsed, written out and parsed again is the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/nearest.h"
#include "base/parse.h"
#include "base/path_search.h"
#include "base/signal_name.h"
#include "base/strv.h"
#include "base/words.h"
#include "core/endpoint.h"
#include "core/notify_message.h"
#include "core/policy.h"
#include "core/schedule_version.h"
#include "core/service_name.h"
#include "core/slots.h"
#include "fuzz.h"

static void read_endpoint(const char *text)
{
	struct rpd_endpoint endpoint, again;
	char buf[128];

	if (endpoint_parse(text, &endpoint) < 0)
		return;
	FUZZ_CHECK(endpoint.port != 0);
	endpoint_format(&endpoint, buf, sizeof(buf));
	FUZZ_CHECK(endpoint_parse(buf, &again) == 0);
	FUZZ_CHECK(endpoint_equal(&endpoint, &again));
	FUZZ_CHECK(endpoint_matches(&endpoint, &again));
}

/* However short the buffer is, the list is not written beyond it, and what fits is a list. */
static void format_short(const struct slots *slots, size_t size)
{
	_cleanup_free_ char *buf = malloc(size);
	struct slots some = {};
	struct error err;
	char *more;

	slots_format(slots, buf, size);
	FUZZ_CHECK(strlen(buf) < size);
	more = strstr(buf, "...");
	if (more)
		more[more > buf && more[-1] == ',' ? -1 : 0] = '\0';
	FUZZ_CHECK(!buf[0] || slots_parse(&some, buf, &err) == 0);
	FUZZ_CHECK(some.n <= slots->n);
}

static void read_slots(const char *text)
{
	struct slots slots = {}, again = {};
	static char buf[8192];
	struct error err;

	if (slots_parse(&slots, text, &err) < 0)
		return;
	FUZZ_CHECK(slots_is_list(text));
	FUZZ_CHECK(slots.n >= 1 && slots.n <= RPD_SLOT_MAX);
	for (size_t i = 0; i < slots.n; i++)
		FUZZ_CHECK(slots.at[i] < RPD_SLOT_MAX && (i == 0 || slots.at[i - 1] < slots.at[i]));
	slots_format(&slots, buf, sizeof(buf));
	FUZZ_CHECK(slots_parse(&again, buf, &err) == 0);
	FUZZ_CHECK(slots.n == again.n &&
	           !memcmp(slots.at, again.at, slots.n * sizeof(slots.at[0])));
	format_short(&slots, 1 + fuzz_hash(text) % 64);
}

static void read_names(const char *text)
{
	char name[RPD_LABEL_MAX];
	struct error err;

	service_name_derive(text, (uint16_t)fuzz_hash(text), name);
	FUZZ_CHECK(service_name_check(name, &err) == 0);
	if (service_name_check(text, &err) == 0)
		FUZZ_CHECK(strlen(text) < RPD_LABEL_MAX && !strpbrk(text, "/. ") &&
		           !fuzz_has_control(text));
	if (schedule_version_is_label(text))
		FUZZ_CHECK(*text && strlen(text) < RPD_LABEL_MAX && !fuzz_has_control(text));
}

static void read_times(const char *text)
{
	int64_t time, again;
	char buf[64];

	if (parse_duration(text, &time) != 0)
		return;
	FUZZ_CHECK(time >= 0 && time <= (int64_t)(PARSE_DURATION_MAX_S * NS_PER_S));
	snprintf(buf, sizeof(buf), "%lld.%09lld", (long long)time / (long long)NS_PER_S,
	         (long long)time % (long long)NS_PER_S);
	FUZZ_CHECK(parse_duration(buf, &again) == 0 && time == again);
}

static void read_sizes(const char *text)
{
	uint64_t size, again;
	char buf[64];

	if (parse_size(text, &size) != 0)
		return;
	FUZZ_CHECK(size <= INT64_MAX);
	snprintf(buf, sizeof(buf), "%llu", (unsigned long long)size);
	FUZZ_CHECK(parse_size(buf, &again) == 0 && size == again);
}

static void read_numbers(const char *text)
{
	long n, again;
	char buf[64];
	bool flag;

	if (parse_long(text, -1000, 1000000, &n) == 0) {
		FUZZ_CHECK(n >= -1000 && n <= 1000000);
		snprintf(buf, sizeof(buf), "%ld", n);
		FUZZ_CHECK(parse_long(buf, -1000, 1000000, &again) == 0 && n == again);
	}
	if (parse_tenths(text, 1, 999, &n) == 0) {
		FUZZ_CHECK(n >= 1 && n <= 999);
		snprintf(buf, sizeof(buf), "%ld.%ld%%", n / 10, n % 10);
		FUZZ_CHECK(parse_tenths(buf, 1, 999, &again) == 0 && n == again);
	}
	parse_bool(text, &flag);
}

static void read_words(const char *text)
{
	char buf[SIGNAL_NAME_MAX];
	enum rpd_policy policy;
	int number, again;

	if (policy_parse(text, &policy) == 0)
		FUZZ_CHECK(!strcmp(policy_name(policy), text));
	if (signal_name_parse(text, &number) < 0)
		return;
	FUZZ_CHECK(number >= 1 && number <= 64);
	signal_name_format(number, buf);
	FUZZ_CHECK(signal_name_parse(buf, &again) == 0 && number == again);
}

/* The text has two names. */
static void compare_names(const char *text)
{
	const char *colon = strchr(text, ':');
	_cleanup_free_ char *first = strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	const char *second = colon ? colon + 1 : "";
	const size_t distance = nearest_distance(first, second);

	FUZZ_CHECK(distance == nearest_distance(second, first));
	FUZZ_CHECK((distance == 0) == !strcmp(first, second) || distance == SIZE_MAX);
}

static void search_path(const char *text)
{
	_cleanup_free_ char **list = path_search_candidates("name", text);
	size_t n = 0;

	for (; list[n]; n++)
		FUZZ_CHECK(!strcmp(strrchr(list[n], '/'), "/name"));
	FUZZ_CHECK(n >= 1);
}

static void write_quoted(FILE *file, const char *word)
{
	fputc('\'', file);
	for (; *word; word++)
		fprintf(file, *word == '\'' ? "'\\''" : "%c", *word);
	fputs("' ", file);
}

/* A command: its words are the same after they are quoted and split again. */
static void read_command(const char *text)
{
	_cleanup_strv_ char **words = NULL, **again = NULL;
	_cleanup_free_ char *quoted = NULL;
	size_t n, length;
	FILE *file;

	if (words_split(text, &words) != 0)
		return;
	n = strv_length(words);
	FUZZ_CHECK((n == 0) == !words);
	file = open_memstream(&quoted, &length);
	for (size_t i = 0; i < n; i++)
		write_quoted(file, words[i]);
	fclose(file);
	FUZZ_CHECK(words_split(quoted, &again) == 0);
	FUZZ_CHECK(strv_length(again) == n);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(!strcmp(words[i], again[i]));
}

/* A datagram of sd_notify(), which may have NUL bytes. Compared with another way to find the line.
 */
static void read_notification(const char *text, size_t size)
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

/* Whether a terminal would obey a character, or show a text that is not UTF-8. */
static bool is_plain(const char *text, const char *allowed)
{
	uint32_t c;

	for (; *text; text += escape_read(text, &c)) {
		escape_read(text, &c);
		if (escape_is_control(c) && !strchr(allowed, *text))
			return false;
	}
	return true;
}

static void escape_for_terminal(const char *text)
{
	_cleanup_free_ char *line = escape_new(text, ESCAPE_LINE);
	_cleanup_free_ char *lines = escape_new(text, ESCAPE_LINES), *again = NULL, *part = NULL;
	const size_t size = fuzz_hash(text) % (strlen(line) + 2);

	FUZZ_CHECK(is_plain(line, "") && is_plain(lines, "\n\t"));
	for (const char *end = strchr(lines, '\n'); end; end = strchr(end + 1, '\n'))
		FUZZ_CHECK(strchr("\n ", end[1]));
	again = escape_new(line, ESCAPE_LINE);
	FUZZ_CHECK(!strcmp(line, again));
	part = malloc(size);
	FUZZ_CHECK(escape_text(part, size, text, ESCAPE_LINE) == strlen(line));
	FUZZ_CHECK(!size || (strlen(part) < size && !strncmp(part, line, strlen(part))));
}

static const struct {
	char letter;
	void (*read)(const char *text);
} parsers[] = {
        {'e', read_endpoint}, {'s', read_slots},   {'n', read_names},          {'t', read_times},
        {'b', read_sizes},    {'i', read_numbers}, {'w', read_words},          {'d', compare_names},
        {'p', search_path},   {'c', read_command}, {'x', escape_for_terminal},
};

static void run(const char *text, size_t size)
{
	if (text[0] == 'r')
		read_notification(text + 1, size - 1);
	for (size_t i = 0; i < ARRAY_SIZE(parsers); i++)
		if (text[0] == parsers[i].letter)
			parsers[i].read(text + 1);
}

const struct fuzz_target fuzz_target = {run, 64};
