export { MessageEntity } from './message.entity.js';
export { latestMessagesJson, messageJson, messagesTotal } from './messages.query.js';
export {
  MESSAGE_ROLES,
  type Message,
  type MessagePart,
  type MessageRole,
  messagePartSchema,
  messagePartsSchema,
  messageSchema,
} from './messages.schema.js';
export { MessagesModule } from './messages.module.js';
export { MessagesService, type NewMessage } from './messages.service.js';
