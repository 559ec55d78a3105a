/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/node_inspect.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/parse.h"

#define DEFAULT_PORT 9229
#define BLANKS       " \t\r\n"

/* An option of the inspector: NAME, NAME=PORT, NAME=HOST or NAME=HOST:PORT. */
struct node_inspect_option {
	const char *host; /* of n_host bytes; it may be empty */
	size_t n_name, n_host;
	long port; /* -1: it gives none */
	bool opens;
};

static bool node_inspect_is_port(const char *text, size_t n, long *ret)
{
	char buf[8] = "";

	if (!n || n >= sizeof(buf))
		return false;
	memcpy(buf, text, n);
	return parse_long(buf, 0, UINT16_MAX, ret) == 0;
}

/* Whether the word of @n bytes is one. */
static bool node_inspect_parse(const char *word, size_t n, struct node_inspect_option *ret)
{
	static const char *const names[] = {"--inspect", "--inspect-brk", "--inspect-wait",
	                                    "--inspect-port", "--debug-port"};
	const char *equals = memchr(word, '=', n), *colon, *end = word + n;
	const size_t n_name = equals ? (size_t)(equals - word) : n;
	size_t i = 0;

	while (i < ARRAY_SIZE(names) &&
	       (strlen(names[i]) != n_name || strncmp(names[i], word, n_name) != 0))
		i++;
	if (i == ARRAY_SIZE(names))
		return false;
	*ret = (struct node_inspect_option){.n_name = n_name, .port = -1, .opens = i < 3};
	if (!equals)
		return true;
	ret->host = equals + 1;
	if (node_inspect_is_port(ret->host, (size_t)(end - ret->host), &ret->port))
		return true;
	ret->n_host = (size_t)(end - ret->host);
	colon = memrchr(ret->host, ':', ret->n_host);
	if (colon && node_inspect_is_port(colon + 1, (size_t)(end - colon - 1), &ret->port))
		ret->n_host = (size_t)(colon - ret->host);
	return true;
}

/* --- all options */

/* What the options say together: node takes the last port. */
struct node_inspect {
	bool opens;
	long port; /* -1: none is given */
};

static void node_inspect_add_word(struct node_inspect *inspect, const char *word, size_t n)
{
	struct node_inspect_option option;

	if (!node_inspect_parse(word, n, &option))
		return;
	inspect->opens |= option.opens;
	if (option.port >= 0)
		inspect->port = option.port;
}

/* The number of words that are the program and its options, before the script. */
static size_t node_inspect_count_words(char *const *argv)
{
	static const char *const with_value[] = {
	        "-r", "--require", "--import", "--loader", "--conditions", "-C", "--env-file"};
	const char *slash = argv && argv[0] ? strrchr(argv[0], '/') : NULL;
	const char *program = slash ? slash + 1 : argv && argv[0] ? argv[0] : "";
	size_t n = 1;

	if (strcmp(program, "node") != 0 && strcmp(program, "nodejs") != 0 &&
	    strcmp(program, "tsx") != 0) /* passes its options on to node */
		return 0;
	while (argv[n] && argv[n][0] == '-' && strcmp(argv[n], "--") != 0) {
		for (size_t i = 0; i < ARRAY_SIZE(with_value); i++)
			if (!strcmp(argv[n], with_value[i]) && argv[n + 1]) {
				n++;
				break;
			}
		n++;
	}
	return n;
}

static struct node_inspect node_inspect_find(char *const *argv, const char *options)
{
	const size_t n = node_inspect_count_words(argv);
	struct node_inspect inspect = {.port = -1};

	for (const char *at = options; at && *(at += strspn(at, BLANKS)); at += strcspn(at, BLANKS))
		node_inspect_add_word(&inspect, at, strcspn(at, BLANKS));
	for (size_t i = 1; i < n; i++)
		node_inspect_add_word(&inspect, argv[i], strlen(argv[i]));
	return inspect;
}

static uint16_t node_inspect_port_of(const struct node_inspect *inspect, unsigned int slot)
{
	const long port = (inspect->port < 0 ? DEFAULT_PORT : inspect->port) + (long)slot;

	return inspect->opens && inspect->port != 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

uint16_t node_inspect_port(char *const *argv, const char *options, unsigned int slot)
{
	const struct node_inspect inspect = node_inspect_find(argv, options);

	return node_inspect_port_of(&inspect, slot);
}

/* --- changing them */

/* Writes the word with another port, if it gives one, or if @always. */
static void node_inspect_write_word(FILE *out, const char *word, size_t n, uint16_t port,
                                    bool always)
{
	struct node_inspect_option option;

	if (!node_inspect_parse(word, n, &option) || (option.port < 0 && !always))
		fwrite(word, n, 1, out);
	else
		fprintf(out, "%.*s=%.*s%s%u", (int)option.n_name, word, (int)option.n_host,
		        option.host ? option.host : "", option.n_host ? ":" : "", port);
}

/* Replaces @text. Blanks separate its words unless it is @one_word. */
static int node_inspect_replace(char **text, bool one_word, uint16_t port, bool always)
{
	char *changed = NULL;
	size_t size;
	FILE *out = open_memstream(&changed, &size);

	if (!out)
		return -ENOMEM;
	for (const char *at = *text; *at;) {
		const size_t blanks = one_word ? 0 : strspn(at, BLANKS);
		const size_t n = one_word ? strlen(at) : strcspn(at + blanks, BLANKS);

		fwrite(at, blanks, 1, out);
		if (n)
			node_inspect_write_word(out, at + blanks, n, port, always);
		at += blanks + n;
	}
	if (!memory_close_text(out, &changed))
		return -ENOMEM;
	free(*text);
	*text = changed;
	return 0;
}

int node_inspect_set_port(char **argv, char **options, unsigned int slot)
{
	const struct node_inspect inspect = node_inspect_find(argv, options ? *options : NULL);
	const uint16_t port = node_inspect_port_of(&inspect, slot);
	const size_t n = port ? node_inspect_count_words(argv) : 0;
	const bool always = inspect.port < 0;
	int r = 0;

	if (port && options && *options)
		r = node_inspect_replace(options, false, port, always);
	for (size_t i = 1; r == 0 && i < n; i++)
		r = node_inspect_replace(&argv[i], true, port, always);
	return r;
}
