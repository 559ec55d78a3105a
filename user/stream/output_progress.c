/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The position is an extended attribute of the file. Pages before it are freed as a whole. On a
 * file system without attributes the bytes before the position in its page are zeroed instead, and
 * the first byte that isn't zero is the position.
 */
#include "stream/output_progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The value of the attribute. */
struct mark {
	int64_t at;
	int64_t cut;
};

static const char *const attributes[] = {"trusted.reuseportd", "user.reuseportd"};

void output_progress_store(struct output_progress *p, off_t at, bool cut)
{
	const struct mark mark = {.at = at, .cut = cut};
	const off_t page = sysconf(_SC_PAGESIZE), from = p->punched / page * page;
	const off_t to = p->attribute ? at / page * page : at;

	if (p->attribute)
		fsetxattr(p->read_fd, p->attribute, &mark, sizeof(mark), 0);
	p->at = at;
	p->cut = cut;
	if (to > p->punched && fallocate(p->write_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                                 from, to - from) == 0)
		p->punched = to;
}

/* The offset of the first byte that isn't zero. */
static off_t output_progress_find_data(int fd)
{
	off_t at = lseek(fd, 0, SEEK_DATA);
	char text[4096];
	ssize_t n;

	if (at < 0)
		return errno == ENXIO ? lseek(fd, 0, SEEK_END) : 0;
	while ((n = pread(fd, text, sizeof(text), at)) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			if (text[i])
				return at;
	return at;
}

void output_progress_find(struct output_progress *p, off_t size)
{
	struct mark mark = {0};
	bool is_marked = false;
	off_t data;

	for (size_t i = 0; i < ARRAY_SIZE(attributes) && !is_marked; i++)
		is_marked =
		        fgetxattr(p->read_fd, attributes[i], &mark, sizeof(mark)) == sizeof(mark);
	p->at = is_marked ? mark.at : output_progress_find_data(p->read_fd);
	if (p->at < 0 || p->at > size) /* not our attribute, or the file was truncated */
		p->at = 0;
	data = lseek(p->read_fd, p->at, SEEK_DATA);
	if (data > p->at) /* freed, but the attribute could not be stored for lack of memory */
		p->at = data;
	mark = (struct mark){.at = p->at, .cut = is_marked && mark.cut};
	p->cut = mark.cut;
	for (size_t i = 0; i < ARRAY_SIZE(attributes) && !p->attribute; i++)
		if (fsetxattr(p->read_fd, attributes[i], &mark, sizeof(mark), 0) == 0)
			p->attribute = attributes[i];
}
