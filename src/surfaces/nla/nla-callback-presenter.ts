import { Injectable } from '@nestjs/common';
import { type CallbackFacts, CallbackPresenter } from '../../modules/webhooks/index.js';
import { toNlaTask } from './nla.mapper.js';

/** What a task's `callback` is sent: the page's Task, as it was when the run ended, and which run that was. */
@Injectable()
export class NlaCallbackPresenter extends CallbackPresenter {
  present(facts: CallbackFacts): object {
    return { ...toNlaTask(facts), runId: facts.run_id };
  }
}
