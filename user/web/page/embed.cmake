# Writes a C source with the files of the page: cmake -DFOLDER=... -DOUT=... -P embed.cmake
set(text "#include \"web/page.h\"\n")
foreach(pair index:index.html css:page.css js:page.js)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 file)
  file(READ ${FOLDER}/${file} bytes HEX)
  file(SHA256 ${FOLDER}/${file} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND text "static const unsigned char ${name}_bytes[] = {${bytes}};\n"
         "const struct page_file page_${name} = {${name}_bytes, sizeof(${name}_bytes), \"\\\"${hash}\\\"\"};\n")
endforeach()
file(WRITE ${OUT} "${text}")
