import { Module } from '@nestjs/common';
import { ErrorPresenters } from '../../http/filters/error-presenter.js';
import { TasksModule } from '../../modules/tasks/index.js';
import { NlaController } from './nla.controller.js';
import { nlaErrors } from './nla.errors.js';

@Module({ imports: [TasksModule], controllers: [NlaController] })
export class NlaModule {
  constructor(presenters: ErrorPresenters) {
    presenters.register(nlaErrors);
  }
}
