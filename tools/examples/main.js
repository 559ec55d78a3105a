// The program of ecosystem.config.js: reports when it is ready, and ends gracefully on SIGINT.
const server = require('http').createServer((request, response) => {
  if (stopping)
    response.setHeader('Connection', 'close');
  response.end(`worker ${process.env.NODE_APP_INSTANCE}\n`);
});
let stopping = false;

server.listen(process.env.PORT, () => process.send && process.send('ready'));
process.on('SIGINT', () => {
  stopping = true;
  server.close(() => process.exit(0));
});
