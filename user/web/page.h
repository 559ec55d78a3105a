/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of the page, which are in the program (user/web/page/). */
#pragma once

#include <stddef.h>

struct page_file {
	const unsigned char *bytes;
	size_t n;
	const char *etag; /* with its quotes */
};

extern const struct page_file page_index, page_css, page_js;
