// An application for PM2: reports that it is ready, and closes its connections on SIGINT. Without
// TypeScript, decorators are called as functions.
require('reflect-metadata');
const { Controller, Get, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');

let ending = false;

class AppController {
    index() {
        return `${process.pid}\n`;
    }
}
Get()(AppController.prototype, 'index',
    Object.getOwnPropertyDescriptor(AppController.prototype, 'index'));
Controller()(AppController);

class AppModule {}
Module({ controllers: [AppController] })(AppModule);

async function main() {
    const app = await NestFactory.create(AppModule, { logger: ['error'] });

    app.enableShutdownHooks();
    app.use((request, response, next) => {
        if (ending)
            response.setHeader('Connection', 'close');
        next();
    });
    process.on('SIGINT', () => {
        ending = true;
    });
    await app.listen(8080);
    process.send('ready');
}
main();
