/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define NAME_MAX_BYTES 255 /* of a host, as DNS has it */

/* --- Host and Origin */

static bool guard_is_port(const char *text)
{
	long port;

	return !*text || (*text == ':' && parse_long(text + 1, 1, 65535, &port) == 0);
}

bool guard_allows_host(const char *host, const char *name)
{
	char text[NAME_MAX_BYTES + 1];
	struct in6_addr address;
	const bool is_v6 = host && host[0] == '[';
	const char *end;
	size_t n;

	if (!host)
		return false;
	host += is_v6;
	end = host + strcspn(host, is_v6 ? "]" : ":");
	n = end - host;
	if (n == 0 || n > NAME_MAX_BYTES || (is_v6 && *end != ']') || !guard_is_port(end + is_v6))
		return false;
	*(char *)mempcpy(text, host, n) = '\0';
	if (is_v6)
		return inet_pton(AF_INET6, text, &address) == 1;
	return inet_pton(AF_INET, text, &address) == 1 || !strcasecmp(text, "localhost") ||
	       (name && !strcasecmp(text, name));
}

bool guard_allows_origin(const char *origin, const char *host)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; origin && host && i < ARRAY_SIZE(schemes); i++)
		if (!strncasecmp(origin, schemes[i], strlen(schemes[i])) &&
		    !strcasecmp(origin + strlen(schemes[i]), host))
			return true;
	return !origin;
}

bool guard_is_json(const char *type)
{
	static const char json[] = "application/json";

	return type && !strncasecmp(type, json, strlen(json)) &&
	       (type[strlen(json)] == '\0' || strchr("; \t", type[strlen(json)]));
}

/* --- the token */

bool guard_has_token(const char *authorization, const struct guard_token *token)
{
	static const char scheme[] = "Bearer ";
	char given[sizeof(token->text)] = {};
	volatile unsigned char differs = 0;
	size_t n;

	if (!token->text[0] || !authorization ||
	    strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return false;
	n = strlen(authorization + strlen(scheme));
	if (n >= sizeof(given))
		return false;
	memcpy(given, authorization + strlen(scheme), n);
	for (size_t i = 0; i < sizeof(given); i++)
		differs |= (unsigned char)(given[i] ^ token->text[i]);
	return differs == 0;
}

int guard_parse_token(const char *text, size_t n, struct guard_token *ret, struct error *err)
{
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n < GUARD_TOKEN_MIN || n > GUARD_TOKEN_MAX)
		return error_usage(err, "a token has %d to %d characters, not %zu", GUARD_TOKEN_MIN,
		                   GUARD_TOKEN_MAX, n);
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return error_usage(err,
			                   "a token is one line of printable ASCII "
			                   "characters, without a space");
	*ret = (struct guard_token){};
	memcpy(ret->text, text, n);
	return 0;
}

int guard_read_token(const char *path, struct guard_token *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char text[GUARD_TOKEN_MAX + 3]; /* the end of the line may have two characters */
	struct error why;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_usage(err, "can't open the token file %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_usage(err, "the token file %s is not a regular file", path);
	if ((st.st_mode & 077) || (st.st_uid != 0 && st.st_uid != geteuid()))
		return error_usage(err,
		                   "other users may read or write the token file %s: `chown root "
		                   "%s` and `chmod 600 %s` change that",
		                   path, path, path);
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return error_usage(err, "can't read the token file %s: %s", path, strerror(errno));
	return guard_parse_token(text, n, ret, &why) < 0
	               ? error_usage(err, "the token file %s: %s", path, why.text)
	               : 0;
}
