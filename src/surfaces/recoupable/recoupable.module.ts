import { Module } from '@nestjs/common';
import { ErrorPresenters } from '../../http/filters/error-presenter.js';
import { TasksModule } from '../../modules/tasks/index.js';
import { RecoupableController } from './recoupable.controller.js';
import { recoupableErrors } from './recoupable.errors.js';

@Module({ imports: [TasksModule], controllers: [RecoupableController] })
export class RecoupableModule {
  constructor(presenters: ErrorPresenters) {
    presenters.register(recoupableErrors);
  }
}
