import { Module } from '@nestjs/common';
import { ErrorPresenters } from '../../http/filters/error-presenter.js';
import { AssetsModule } from '../../modules/assets/index.js';
import { TasksModule } from '../../modules/tasks/index.js';
import { NeocuController } from './neocu.controller.js';
import { neocuErrors } from './neocu.errors.js';

@Module({ imports: [TasksModule, AssetsModule], controllers: [NeocuController] })
export class NeocuModule {
  constructor(presenters: ErrorPresenters) {
    presenters.register(neocuErrors);
  }
}
