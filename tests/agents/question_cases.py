"""Questions to the student by language: about the student's own thinking, and about something foreign.

Every line of a language says about the same as that line of the others, so that no language is tried on less.
"""

from __future__ import annotations

from agents.records import Item, Option, Question


def item(text: str, options: list[str], keywords: list[str], concept: str = "c", language: str = "en") -> Item:
    """An item; the first option is right."""
    given = tuple(Option(option, place == 0, f"m{place}") for place, option in enumerate(options))
    question = Question(text, given, language)
    return Item("x", "A", concept, tuple(keywords), "o", question, question)


MEANS = """\
How did you get that? | Why do you think that? | How did you come to your answer? | What did you do first?
Can you explain your second step? | How sure are you? | How do you know? | Why did you choose B? | Why did you choose A?
What made you choose this option? | How did you decide? | What were you thinking? | How could you check that?
Where do you see a mistake? | What do you mean by that? | How did you calculate that? | Why did you choose that?
Which idea did you have? | How would you explain it to a friend? | Can you show me your steps? | What did you try?"""

THINKING = {
    "en": MEANS.replace(" | ", "\n")
    + """
Why did you choose that answer?
Why are you choosing B?
What are you using to work this out?
How are you doing this step?
What are you doing to find the answer?
How do you make sense of that?
What did you make of my question?
Can you draw a diagram of your idea?
What would you draw to show that?
Which method are you using?
Which idea did you use to choose that?
What are you working on right now?
Why are you working backwards?
How are you working that out?
Why did you choose A instead of B?
Why did you choose the first option?
Why did you choose option C and not option D?
Did you guess, or did you have a reason?
Is B your final answer?
How do A and B differ?
What makes B better than C?
What is wrong with B?
Which option did you rule out first?
Are you guessing?
How confident are you in B?
What would make you change your answer?
What would you tell a friend who chose C?
How would you explain your choice to a classmate?
What is the first thing you would do?
What should you do next?
What would you try next?
Does that fit with what you said earlier?
What in the question made you say that?
How is that different from what you said before?
What do you think would happen then?
Could you say more about that?
Can you tell me more about your thinking?
How would you know if you were wrong?
What might you be missing?
What happens if you are wrong?
Why did you choose B?
Why did you choose A?
Why did you choose that one?
Why did you pick C?
Why did you choose option B?
Why did you choose this answer?
Why did you choose B over C?
Why did you go with B?
What made you choose D?
What made you pick B?
Why B?
Why not A?
Why is it B and not C?
Why did you rule out A?
How did you decide on B?
How did you choose between A and B?
How did you make that choice?
How did you make your choice?
What are you doing in this step?
What did you do next?
What are you trying to do here?
What did you use to get that?
What are you using to decide?
Which idea are you using?
What rule did you use?
How did you work it out?
How did you work that out?
How are you working this out?
Can you draw what you mean?
Could you draw a picture of what you think happens?
What did you draw?
What did you make of that?
What do you make of this?
What does that make you think?
What were you thinking?
What do you think happens next?
What do you think will happen, and why?
Why do you believe that?
Do you still think so?
Would you change anything in your answer?
What would you say now?
Can you say that in your own words?
How would you explain this to a friend?
What did you find?
What did you find out?
How did you find it?
Did you check it?
Did you try another way?
What did you try?
What made you change your mind?
What makes you sure?
What are you unsure about?
What do you notice?
What do you already know?
What have you tried so far?
What is your reasoning?
What is your choice, and why?
What is confusing you here?
Which part confuses you?
Where did you start?
How did you start?
Why did you do that?
Why did you do it that way?
Why did you start there?""",
    "de": """\
Wie hast du das herausgefunden?
Warum denkst du das?
Wie bist du zu deiner Antwort gekommen?
Was hast du zuerst gemacht?
Kannst du deinen zweiten Schritt erklären?
Wie sicher bist du dir?
Woher weißt du das?
Warum hast du B gewählt?
Warum hast du A gewählt?
Was hat dich zu dieser Option gebracht?
Wie hast du dich entschieden?
Was hast du dir dabei gedacht?
Wie könntest du das überprüfen?
Wo siehst du einen Fehler?
Was meinst du damit?
Wie hast du das ausgerechnet?
Warum hast du dich dafür entschieden?
Welche Idee hattest du?
Wie würdest du das einem Freund erklären?
Kannst du mir deine Schritte zeigen?
Was hast du schon versucht?
Was bringt dich dazu, das zu glauben?
Wie kommst du auf diese Zahl?
Welchen Rechenweg hast du benutzt?
Könntest du mir sagen, wie du angefangen hast?
Was würdest du an deiner Antwort ändern?
Warum hast du diese Zahlen multipliziert?
Warum glaubst du, dass das stimmt?
Was verstehst du daran noch nicht?
Welcher Teil fällt dir schwer?
Bist du dir bei diesem Schritt sicher?
Wie haben Sie das berechnet?
Was spricht gegen C?
Was wäre dein nächster Schritt?
Kannst du das in eigenen Worten sagen?""",
    "fr": """\
Comment as-tu obtenu cela ?
Pourquoi penses-tu cela ?
Comment es-tu arrivé à ta réponse ?
Qu'as-tu fait en premier ?
Peux-tu expliquer ta deuxième étape ?
À quel point es-tu sûr ?
Comment le sais-tu ?
Pourquoi as-tu choisi B ?
Pourquoi as-tu choisi A ?
Qu'est-ce qui t'a fait choisir cette option ?
Comment as-tu décidé ?
À quoi pensais-tu ?
Comment pourrais-tu le vérifier ?
Où vois-tu une erreur ?
Que veux-tu dire par là ?
Comment as-tu calculé cela ?
Pourquoi as-tu choisi cela ?
Quelle idée avais-tu ?
Comment l'expliquerais-tu à un ami ?
Peux-tu me montrer tes étapes ?
Qu'as-tu déjà essayé ?
Qu'est-ce qui te fait croire ça ?
D'où vient ce nombre ?
Quelle méthode as-tu utilisée ?
Peux-tu me dire comment tu as commencé ?
Que changerais-tu dans ta réponse ?
Pourquoi as-tu multiplié ces nombres ?
Pourquoi crois-tu que c'est vrai ?
Qu'est-ce que tu ne comprends pas encore ?
Quelle partie est difficile pour toi ?
Es-tu sûr de cette étape ?
Comment avez-vous calculé cela ?
Pourquoi pas C ?
Quelle serait ta prochaine étape ?
Peux-tu le dire avec tes propres mots ?""",
    "es": """\
¿Cómo obtuviste eso?
¿Por qué piensas eso?
¿Cómo llegaste a tu respuesta?
¿Qué hiciste primero?
¿Puedes explicar tu segundo paso?
¿Qué tan seguro estás?
¿Cómo lo sabes?
¿Por qué elegiste B?
¿Por qué elegiste A?
¿Qué te hizo elegir esta opción?
¿Cómo te decidiste?
¿En qué estabas pensando?
¿Cómo podrías comprobarlo?
¿Dónde ves un error?
¿Qué quieres decir con eso?
¿Cómo calculaste eso?
¿Por qué escogiste eso?
¿Qué idea tenías?
¿Cómo se lo explicarías a un amigo?
¿Puedes mostrarme tus pasos?
¿Qué has intentado hasta ahora?
¿Qué te lleva a creer eso?
¿De dónde sacaste ese número?
¿Qué método usaste?
¿Me puedes decir cómo empezaste?
¿Qué cambiarías en tu respuesta?
¿Por qué multiplicaste esos números?
¿Por qué crees que es verdad?
¿Qué es lo que todavía no entiendes?
¿Qué parte te resulta difícil?
¿Estás seguro de este paso?
¿Cómo calculó usted eso?
¿Por qué no C?
¿Cuál sería tu siguiente paso?
¿Puedes decirlo con tus propias palabras?""",
    "it": """\
Come hai ottenuto questo?
Perché lo pensi?
Come sei arrivato alla tua risposta?
Che cosa hai fatto per prima cosa?
Puoi spiegare il tuo secondo passaggio?
Quanto sei sicuro?
Come lo sai?
Perché hai scelto B?
Perché hai scelto A?
Cosa ti ha fatto scegliere questa opzione?
Come hai deciso?
A che cosa stavi pensando?
Come potresti verificarlo?
Dove vedi un errore?
Che cosa intendi con questo?
Come lo hai calcolato?
Perché hai scelto quello?
Quale idea avevi?
Come lo spiegheresti a un amico?
Puoi mostrarmi i tuoi passaggi?
Che cosa hai provato finora?
Che cosa ti fa credere questo?
Da dove viene quel numero?
Quale metodo hai usato?
Mi puoi dire come hai cominciato?
Che cosa cambieresti nella tua risposta?
Perché hai moltiplicato quei numeri?
Perché credi che sia vero?
Che cosa non capisci ancora?
Quale parte ti sembra difficile?
Sei sicuro di questo passaggio?
Perché non C?
Quale sarebbe il tuo prossimo passo?
Puoi dirlo con parole tue?""",
    "pt": """\
Como você conseguiu isso?
Por que você acha isso?
Como você chegou à sua resposta?
O que você fez primeiro?
Você pode explicar o seu segundo passo?
Quão certo você está?
Como você sabe?
Por que você escolheu B?
Por que você escolheu A?
O que te fez escolher esta opção?
Como você decidiu?
Em que você estava pensando?
Como você poderia verificar isso?
Onde você vê um erro?
O que você quer dizer com isso?
Como você calculou isso?
Por que você escolheu isso?
Que ideia você tinha?
Como você explicaria isso a um amigo?
Pode me mostrar os seus passos?
O que você já tentou?
O que te leva a acreditar nisso?
De onde veio esse número?
Que método você usou?
Você pode me dizer como começou?
O que você mudaria na sua resposta?
Por que você multiplicou esses números?
Por que você acredita que é verdade?
O que você ainda não entende?
Que parte é difícil para você?
Você tem certeza desse passo?
Por que não C?
Qual seria o seu próximo passo?
Você pode dizer isso com as suas palavras?""",
    "ru": """\
Как ты это нашёл?
Почему ты так считаешь?
Как ты пришёл к своему ответу?
Что ты сделал сначала?
Можешь объяснить свой второй шаг?
Насколько ты уверен?
Откуда ты это знаешь?
Почему ты выбрал Б?
Почему ты выбрал А?
Что заставило тебя выбрать этот вариант?
Как ты решил?
О чём ты при этом думал?
Как ты мог бы это проверить?
Где ты видишь ошибку?
Что ты имеешь в виду?
Как ты это посчитал?
Почему ты это выбрал?
Какая у тебя была идея?
Как бы ты объяснил это другу?
Можешь показать мне свои шаги?
Что ты уже пробовал?
Почему ты в этом уверен?
Откуда взялось это число?
Какой способ ты использовал?
Можешь сказать, с чего ты начал?
Что бы ты изменил в своём ответе?
Почему ты умножил эти числа?
Почему ты думаешь, что это правда?
Что тебе пока непонятно?
Какая часть для тебя сложная?
Ты уверен в этом шаге?
Как вы это вычислили?
Почему не В?
Каким будет твой следующий шаг?
Можешь сказать это своими словами?""",
    "zh": """\
你是怎么得出来的？
你为什么这么想？
你是怎么得到你的答案的？
你先做了什么？
你能解释一下你的第二步吗？
你有多大把握？
你怎么知道的？
你为什么选B？
你为什么选A？
是什么让你选了这个选项？
你是怎么决定的？
你当时在想什么？
你怎么检查呢？
你在哪里看到了错误？
你这么说是什么意思？
你是怎么算出来的？
你为什么选了那个？
你有什么想法？
你会怎么向朋友解释？
你能给我看看你的步骤吗？
你已经试过什么？
是什么让你相信这一点的？
这个数字你是从哪里来的？
你用了什么方法？
你能告诉我你是怎么开始的吗？
你会怎么修改你的答案？
你为什么把这些数相乘？
你为什么相信这是对的？
你还有什么地方不明白？
哪一部分对你来说很难？
你对这一步有把握吗？
为什么不选C？
你的下一步是什么？
你能用自己的话说说吗？""",
    "ar": """\
كيف حصلت على ذلك؟
لماذا تعتقد ذلك؟
كيف وصلت إلى إجابتك؟
ماذا فعلت أولاً؟
هل يمكنك أن تشرح خطوتك الثانية؟
ما مدى تأكدك؟
كيف تعرف ذلك؟
لماذا اخترت ب؟
لماذا اخترت أ؟
ما الذي جعلك تختار هذا الخيار؟
كيف قررت؟
بماذا كنت تفكر؟
كيف يمكنك أن تتحقق من ذلك؟
أين ترى خطأ؟
ماذا تقصد بذلك؟
كيف حسبت ذلك؟
لماذا اخترت ذلك؟
ما الفكرة التي كانت لديك؟
كيف تشرح ذلك لصديق؟
هل يمكنك أن تريني خطواتك؟
ماذا جربت حتى الآن؟
ما الذي يجعلك تصدق ذلك؟
من أين حصلت على هذا العدد؟
أي طريقة استخدمت؟
هل يمكنك أن تقول لي كيف بدأت؟
ماذا ستغير في إجابتك؟
لماذا ضربت هذه الأعداد؟
لماذا تعتقد أن ذلك صحيح؟
ما الذي لا تفهمه بعد؟
أي جزء صعب عليك؟
هل أنت متأكد من هذه الخطوة؟
لماذا ليس ج؟
ما خطوتك التالية؟""",
}

FOREIGN = {
    "en": """\
What did you make for your neighbour?
Did you find your keys?
How did you get to the airport?
What do you think of my new jacket?
Why did you choose that restaurant?
What did you do at the weekend?
Do you know my barber?
What did you cook for dinner?
Have you eaten under the sun today?
Which shoes did you choose?
Where did you learn to swim?
What did you write to your landlord?
How do you make lasagna?
What did you say to your boss?
What do you think about politics?
What did you tell your grandma?
How did you meet your wife?
Which dress did you choose for your aunt?
Do you like the sun?
What did you buy at the mall?
Who did you call?
What are you doing tonight?
What are you making for lunch?
Who are you working with?
How are you using your new phone?
What are you doing for the holidays?
How do you make money?
Which song did you choose?
What do you do for fun?
How long have you been working there?
Did you choose a name for your baby?
When did you get married?
What is your phone number?
What do you think of pineapple on bread?
Have you ever tried skiing?
Can you show me your passport?
Have you slept under the stars today?
Have you been to the moon today?
Can you make me a coffee?
What did you make for a friend?""",
    "de": """\
Was hast du für deinen Nachbarn gemacht?
Hast du deine Schlüssel gefunden?
Wie bist du zum Flughafen gekommen?
Was denkst du über meine neue Jacke?
Warum hast du dieses Restaurant gewählt?
Was hast du am Wochenende gemacht?
Kennst du meinen Onkel?
Was hast du zum Abendessen gekocht?
Hast du heute unter der Sonne gegessen?
Welche Schuhe hast du gewählt?
Wo hast du schwimmen gelernt?
Was hast du deinem Vermieter geschrieben?
Wie machst du Lasagne?
Was hast du deinem Chef gesagt?
Was denkst du über Politik?
Was hast du deiner Oma gesagt?
Wie hast du deine Frau gefunden?
Welches Kleid hast du für deine Tante gewählt?
Magst du die Sonne?
Was hast du in der Stadt gekauft?
Wen hast du angerufen?
Was machst du heute Abend?
Was machst du zum Mittagessen?
Mit wem arbeitest du?
Wie benutzt du dein neues Handy?
Was hast du gestern in der Schule gegessen?
Wie hast du das Kino gefunden?
Welche Farbe hast du für dein Zimmer gewählt?
Warum hast du deinen Bruder angerufen?
Was zeichnest du für deine Mutter?
Wo arbeitest du?
Wie geht es deinem Hund?
Was denkst du über den neuen Film?
Wo hast du dein Fahrrad gekauft?
Wer hat das Spiel gewonnen?
Hast du gut geschlafen?
Kannst du mir deine Wohnung zeigen?
Wie alt ist deine Schwester?
Bist du heute in der Sonne spazieren gegangen?""",
    "fr": """\
Qu'as-tu fait pour ton voisin ?
As-tu trouvé tes clés ?
Comment es-tu arrivé à l'aéroport ?
Que penses-tu de ma nouvelle veste ?
Pourquoi as-tu choisi ce restaurant ?
Qu'as-tu fait ce weekend ?
Connais-tu mon oncle ?
Qu'as-tu cuisiné pour le dîner ?
As-tu mangé sous le soleil aujourd'hui ?
Quelles chaussures as-tu choisies ?
Où as-tu appris à nager ?
Qu'as-tu écrit à ton propriétaire ?
Comment fais-tu les lasagnes ?
Qu'as-tu dit à ton patron ?
Que penses-tu de la politique ?
Qu'as-tu dit à ta grand-mère ?
Comment as-tu trouvé ta femme ?
Quelle robe as-tu choisie pour ta tante ?
Aimes-tu le soleil ?
Qu'as-tu acheté en ville ?
Qui as-tu appelé ?
Que fais-tu vendredi ?
Que fais-tu pour le déjeuner ?
Avec qui travailles-tu ?
Comment utilises-tu ton nouveau téléphone ?
Qu'as-tu mangé hier à l'école ?
Comment as-tu trouvé le cinéma ?
Quelle couleur as-tu choisie pour ta chambre ?
Pourquoi as-tu appelé ton frère ?
Que dessines-tu pour ta mère ?
Où travailles-tu ?
Comment va ton chien ?
Que penses-tu du nouveau film ?
Où as-tu acheté ton vélo ?
Qui a gagné le match ?
As-tu bien dormi ?
Peux-tu me montrer ton appartement ?
Quel âge a ta sœur ?
T'es-tu promené au soleil aujourd'hui ?""",
    "es": """\
¿Qué hiciste para tu vecino?
¿Encontraste tus llaves?
¿Cómo llegaste al aeropuerto?
¿Qué piensas de mi chaqueta nueva?
¿Por qué elegiste ese restaurante?
¿Qué hiciste el fin de semana?
¿Conoces a mi tío?
¿Qué cocinaste para la cena?
¿Has comido hoy bajo el sol?
¿Qué zapatos elegiste?
¿Dónde aprendiste a nadar?
¿Qué le escribiste a tu casero?
¿Cómo haces la lasaña?
¿Qué le dijiste a tu jefe?
¿Qué piensas de la política?
¿Qué le dijiste a tu abuela?
¿Cómo encontraste a tu esposa?
¿Qué vestido elegiste para tu tía?
¿Te gusta el sol?
¿Qué compraste en la ciudad?
¿A quién llamaste?
¿Qué haces esta noche?
¿Qué haces para el almuerzo?
¿Con quién trabajas?
¿Cómo usas tu teléfono nuevo?
¿Qué comiste ayer en la escuela?
¿Cómo encontraste el cine?
¿Qué color elegiste para tu cuarto?
¿Por qué llamaste a tu hermano?
¿Qué dibujas para tu madre?
¿Dónde trabajas?
¿Cómo está tu perro?
¿Qué piensas de la nueva película?
¿Dónde compraste tu bicicleta?
¿Quién ganó el partido?
¿Dormiste bien?
¿Me puedes mostrar tu apartamento?
¿Cuántos años tiene tu hermana?
¿Paseaste hoy bajo el sol?""",
    "it": """\
Che cosa hai fatto per il tuo dentista?
Hai trovato le tue chiavi?
Come sei arrivato all'aeroporto?
Che cosa pensi della mia giacca nuova?
Perché hai scelto quel ristorante?
Che cosa hai fatto nel weekend?
Conosci mio zio?
Che cosa hai cucinato per cena?
Hai mangiato oggi sotto il sole?
Quali scarpe hai scelto?
Dove hai imparato a nuotare?
Che cosa hai scritto al tuo padrone di casa?
Come fai le lasagne?
Che cosa hai detto al tuo capo?
Che cosa pensi della politica?
Che cosa hai detto a tua nonna?
Come hai trovato tua moglie?
Quale vestito hai scelto per tua zia?
Ti piace il sole?
Che cosa hai comprato in città?
Chi hai chiamato?
Che cosa fai stasera?
Che cosa fai per pranzo?
Con chi lavori?
Come usi il tuo telefono nuovo?
Che cosa hai mangiato ieri a scuola?
Come hai trovato il cinema?
Quale colore hai scelto per la tua camera?
Perché hai chiamato tuo fratello?
Che cosa disegni per tua madre?
Dove lavori?
Come sta il tuo cane?
Che cosa pensi del nuovo film?
Dove hai comprato la tua bicicletta?
Chi ha vinto la partita?
Hai dormito bene?
Mi puoi mostrare il tuo appartamento?
Quanti anni ha tua sorella?
Hai passeggiato oggi al sole?""",
    "pt": """\
O que você fez para o seu vizinho?
Você encontrou as suas chaves?
Como você chegou ao aeroporto?
O que você acha da minha jaqueta nova?
Por que você escolheu esse restaurante?
O que você fez no fim de semana?
Você conhece meu tio?
O que você cozinhou para o jantar?
Você comeu hoje sob o sol?
Quais sapatos você escolheu?
Onde você aprendeu a nadar?
O que você escreveu para o seu senhorio?
Como você faz lasanha?
O que você disse ao seu chefe?
O que você acha da política?
O que você disse à sua avó?
Como você encontrou sua esposa?
Que vestido você escolheu para sua tia?
Você gosta do sol?
O que você comprou na cidade?
Quem você chamou?
O que você faz hoje à noite?
O que você faz para o almoço?
Com quem você trabalha?
Como você usa o seu telefone novo?
O que você comeu ontem na escola?
Como você achou o cinema?
Que cor você escolheu para o seu quarto?
Por que você ligou para o seu irmão?
O que você desenha para sua mãe?
Onde você trabalha?
Como está o seu cachorro?
O que você acha do novo filme?
Onde você comprou sua bicicleta?
Quem ganhou o jogo?
Você dormiu bem?
Você pode me mostrar o seu apartamento?
Quantos anos tem sua irmã?
Você passeou hoje sob o sol?""",
    "ru": """\
Что ты сделал для своего соседа?
Ты нашёл свои ключи?
Как ты добрался до аэропорта?
Что ты думаешь о моей новой куртке?
Почему ты выбрал этот ресторан?
Что ты делал на выходных?
Ты знаешь моего дядю?
Что ты приготовил на ужин?
Ты ел сегодня под солнцем?
Какие туфли ты выбрал?
Где ты научился плавать?
Что ты написал своему хозяину квартиры?
Как ты делаешь лазанью?
Что ты сказал своему начальнику?
Что ты думаешь о политике?
Что ты сказал своей бабушке?
Как ты нашёл свою жену?
Какое платье ты выбрал для тёти?
Ты любишь солнце?
Что ты купил в городе?
Кому ты позвонил?
Что ты делаешь сегодня вечером?
Что ты делаешь на обед?
С кем ты работаешь?
Как ты пользуешься своим новым телефоном?
Что ты вчера ел в школе?
Как ты нашёл этот кинотеатр?
Какой цвет ты выбрал для своей комнаты?
Почему ты позвонил своему брату?
Что ты рисуешь для своей мамы?
Где ты работаешь?
Как поживает твоя собака?
Что ты думаешь о новом фильме?
Где ты купил свой велосипед?
Кто выиграл матч?
Ты хорошо спал?
Можешь показать мне свою квартиру?
Сколько лет твоей сестре?
Ты гулял сегодня под солнцем?""",
    "zh": """\
你给你的邻居做了什么？
你找到你的钥匙了吗？
你是怎么到机场的？
你觉得我的新外套怎么样？
你为什么选那家餐厅？
你周末做了什么？
你认识我叔叔吗？
你晚饭做了什么？
你今天在太阳下吃饭了吗？
你选了哪双鞋？
你在哪里学的游泳？
你给房东写了什么？
你怎么做千层面？
你对老板说了什么？
你对政治有什么看法？
你跟奶奶说了什么？
你是怎么找到你妻子的？
你给阿姨选了哪条裙子？
你喜欢太阳吗？
你在城里买了什么？
你给谁打电话了？
你今晚做什么？
你午饭做什么？
你和谁一起工作？
你怎么用你的新手机？
你昨天在学校吃了什么？
你是怎么找到电影院的？
你给书包选了什么颜色？
你为什么给哥哥打电话？
你在给妈妈画什么？
你在哪里工作？
你的狗怎么样？
你觉得新电影怎么样？
你在哪里买的自行车？
谁赢了比赛？
你睡得好吗？
你能给我看看你的公寓吗？
你姐姐几岁了？
你今天在太阳下散步了吗？""",
    "ar": """\
ماذا فعلت لجارك؟
هل وجدت مفاتيحك؟
كيف وصلت إلى المطار؟
ما رأيك في سترتي الجديدة؟
لماذا اخترت ذلك المطعم؟
ماذا فعلت في عطلة نهاية الأسبوع؟
هل تعرف عمي؟
ماذا طبخت للعشاء؟
هل أكلت اليوم تحت الشمس؟
أي حذاء اخترت؟
أين تعلمت السباحة؟
ماذا كتبت لصاحب البيت؟
كيف تصنع اللازانيا؟
ماذا قلت لمديرك؟
ما رأيك في السياسة؟
ماذا قلت لجدتك؟
كيف وجدت زوجتك؟
أي فستان اخترت لخالتك؟
هل تحب الشمس؟
ماذا اشتريت في المدينة؟
بمن اتصلت؟
ماذا تفعل هذا المساء؟
ماذا تفعل للغداء؟
مع من تعمل؟
كيف تستخدم هاتفك الجديد؟
ماذا أكلت أمس في المدرسة؟
كيف وجدت السينما؟
أي لون اخترت لغرفتك؟
لماذا اتصلت بأخيك؟
ماذا ترسم لأمك؟
أين تعمل؟
كيف حال كلبك؟
ما رأيك في الفيلم الجديد؟
من أين اشتريت دراجتك؟
من فاز بالمباراة؟
هل نمت جيدا؟
هل يمكنك أن تريني شقتك؟
كم عمر أختك؟
هل تمشيت اليوم تحت الشمس؟""",
}

SALAD = {
    "en": """\
Is the {} the {} the {} the {}?
Is the {} in the {} on the {} by the {}?
What is the {} of the {} of the {} of the {}?
Does the {} the {} the {} the {}?
Are the {} and the {} the {} or the {}?""",
    "de": """\
Ist die {} die {} der {} das {}?
Ist die {} in der {} auf der {} mit der {}?
Was ist die {} von {} von {} von {}?
Hat die {} die {} das {} der {}?
Sind die {} und die {} der {} oder die {}?""",
    "fr": """\
Est-ce que la {} le {} la {} le {} ?
Est-ce que le {} est dans la {} sur le {} avec la {} ?
Quel est le {} de la {} de la {} de la {} ?
Est le {} la {} le {} la {} ?
Sont la {} et le {} la {} ou le {} ?""",
    "es": """\
¿Es el {} la {} el {} la {}?
¿Está el {} en la {} sobre el {} con la {}?
¿Qué es el {} de la {} del {} de la {}?
¿Tiene el {} la {} el {} la {}?
¿Son el {} y la {} el {} o la {}?""",
    "it": """\
È il {} la {} il {} la {}?
È il {} nella {} sul {} con la {}?
Che cosa è il {} della {} del {} della {}?
Ha il {} la {} il {} la {}?
Sono il {} e la {} il {} o la {}?""",
    "pt": """\
É o {} a {} o {} a {}?
Está o {} na {} no {} com a {}?
O que é o {} da {} do {} da {}?
Tem o {} a {} o {} a {}?
São o {} e a {} o {} ou a {}?""",
    "ru": """\
Это {} и {} или {} и {}?
Есть ли {} в {} на {} под {}?
Что такое {} и {} без {} и {}?
Была ли {} {} {} {}?
Почему {} или {} или {} или {}?""",
    "zh": """\
{}是{}的{}和{}吗？
什么是{}和{}和{}和{}？
{}在{}的{}的{}吗？
为什么{}的{}的{}的{}？
{}和{}是{}或{}吗？""",
    "ar": """\
هل {} {} {} {}؟
هل {} في {} على {} مع {}؟
ما هو {} و {} و {} و {}؟
لماذا {} أو {} أو {} أو {}؟
هل {} هو {} هو {} هو {}؟""",
}

SEASONS = {
    "ru": item(
        "Почему летом теплее, чем зимой?",
        ["Наклон оси приносит больше прямого света.", "Земля летом ближе к Солнцу."],
        ["ось", "наклон", "лето", "свет", "земля"],
        language="ru",
    ),
    "fr": item(
        "Pourquoi fait-il plus chaud en été qu'en hiver ?",
        ["L'inclinaison de l'axe donne plus de lumière directe.", "La Terre est plus proche du Soleil en été."],
        ["axe", "inclinaison", "été", "lumière", "terre"],
        language="fr",
    ),
    "zh": item(
        "为什么夏天比冬天热？",
        ["地轴倾斜带来更多直射的阳光。", "夏天地球离太阳更近。"],
        ["地轴", "倾斜", "阳光", "季节", "地球"],
        language="zh",
    ),
    "de": item(
        "Warum ist es im Sommer wärmer als im Winter?",
        ["Die Neigung der Achse bringt mehr direktes Sonnenlicht.", "Die Erde ist im Sommer näher an der Sonne."],
        ["achse", "neigung", "sommer", "licht", "erde"],
        language="de",
    ),
    "es": item(
        "¿Por qué hace más calor en verano que en invierno?",
        ["La inclinación del eje trae más luz directa.", "La Tierra está más cerca del Sol en verano."],
        ["eje", "inclinación", "verano", "luz", "tierra"],
        language="es",
    ),
    "ar": item(
        "لماذا يكون الصيف أدفأ من الشتاء؟",
        ["ميل المحور يجلب المزيد من ضوء الشمس المباشر.", "الأرض أقرب إلى الشمس في الصيف."],
        ["المحور", "ميل", "الصيف", "ضوء", "الأرض"],
        language="ar",
    ),
    "it": item(
        "Perché d'estate fa più caldo che d'inverno?",
        ["L'inclinazione dell'asse porta più luce diretta.", "La Terra è più vicina al Sole d'estate."],
        ["asse", "inclinazione", "estate", "luce", "terra"],
        language="it",
    ),
    "pt": item(
        "Por que o verão é mais quente que o inverno?",
        ["A inclinação do eixo traz mais luz direta.", "A Terra está mais perto do Sol no verão."],
        ["eixo", "inclinação", "verão", "luz", "terra"],
        language="pt",
    ),
}
REAL = {
    "ru": """\
Как наклон оси меняет количество света?
Как ты это получил?
Почему ты так думаешь?
Что происходит, когда ось наклонена к Солнцу?
Какой из двух шагов ты бы проверил первым?
Хорошо. А как Земля движется летом?
Ты уверен в своём втором шаге?
Где больше света: летом или зимой?
Вращается ли Земля вокруг своей оси?
Что заставляет тебя так думать?
Можешь объяснить свой ответ?
Что было бы, если бы ось не была наклонена?
Когда Земля получает больше света?
Как наклон связан с летом?
Где сейчас зима?
Ты думаешь, что Земля летом ближе к Солнцу?""",
    "fr": """\
Comment l'inclinaison de l'axe change-t-elle la lumière ?
Comment as-tu trouvé cela ?
Pourquoi penses-tu cela ?
Que se passe-t-il quand la Terre tourne autour du Soleil ?
Laquelle de tes deux étapes vérifierais-tu en premier ?
Est-ce que la Terre est plus proche du Soleil en été ?
Bien. Quelle est la lumière en hiver ?
Qu'est-ce qui te fait penser cela ?
Peux-tu expliquer ton raisonnement ?
Es-tu sûr de ta réponse ?
Que se passerait-il si l'axe n'était pas incliné ?
Quand la Terre reçoit-elle plus de lumière ?
Le Soleil est-il plus bas en hiver ?
Quel lien y a-t-il entre l'inclinaison et l'été ?
Où est-ce l'hiver maintenant ?
Crois-tu que la Terre est plus proche du Soleil en été ?""",
    "zh": """\
地轴倾斜怎样改变阳光？
你是怎么得到这个答案的？
你为什么这样想？
如果地轴不倾斜，季节会怎样？
你会先检查哪一步？
地球在夏天离太阳更近吗？
好。阳光什么时候是直射的？
是什么让你这么认为？
你能解释一下你的答案吗？
如果地轴没有倾斜，会发生什么？
地球什么时候得到更多阳光？
冬天太阳更低吗？
倾斜和夏天有什么关系？
现在哪里是冬天？
你觉得夏天地球离太阳更近吗？""",
    "de": """\
Wie verändert die Neigung der Achse das Sonnenlicht?
Wie bist du darauf gekommen?
Warum denkst du das?
Was passiert, wenn die Achse zur Sonne geneigt ist?
Welchen deiner zwei Schritte würdest du zuerst prüfen?
Ist die Erde im Sommer näher an der Sonne?
Gut. Wohin zeigt die Achse im Winter?
Wie hast du das berechnet?
Kannst du deine Antwort erklären?
Was würde passieren, wenn die Achse nicht geneigt wäre?
Wann bekommt die Erde mehr Licht?
Wie hängt die Neigung mit dem Sommer zusammen?
Wo ist es jetzt Winter?
Was hat die Achse mit der Wärme zu tun?
Glaubst du, dass die Erde im Sommer näher an der Sonne ist?""",
    "es": """\
¿Cómo cambia la inclinación del eje la luz?
¿Cómo llegaste a eso?
¿Por qué piensas eso?
¿Qué pasa cuando el eje apunta hacia el Sol?
¿Cuál de tus dos pasos revisarías primero?
¿Está la Tierra más cerca del Sol en verano?
Bien. ¿Cuánta luz llega en invierno?
¿Qué te hace pensar eso?
¿Puedes explicar tu respuesta?
¿Qué pasaría si el eje no estuviera inclinado?
¿Cuándo recibe la Tierra más luz?
¿Está el Sol más bajo en invierno?
¿Qué relación hay entre la inclinación y el verano?
¿Dónde es invierno ahora?
¿Crees que la Tierra está más cerca del Sol en verano?""",
    "ar": """\
كيف يغير ميل المحور ضوء الشمس؟
كيف حصلت على ذلك؟
لماذا تعتقد ذلك؟
ماذا يحدث عندما يميل المحور نحو الشمس؟
هل الأرض أقرب إلى الشمس في الصيف؟
أي خطوة من خطواتك ستتحقق منها أولاً؟
هل يمكنك أن تشرح إجابتك؟
ماذا سيحدث لو لم يكن المحور مائلا؟
متى تحصل الأرض على ضوء أكثر؟
ما العلاقة بين الميل والصيف؟
أين يكون الشتاء الآن؟
هل تظن أن الأرض أقرب إلى الشمس في الصيف؟""",
    "it": """\
Come cambia la luce con l'inclinazione dell'asse?
Come ci sei arrivato?
Perché pensi questo?
Cosa succede quando l'asse punta verso il Sole?
La Terra è più vicina al Sole d'estate?
Che cosa succederebbe se l'asse non fosse inclinato?
Quando riceve la Terra più luce?
Il Sole è più basso d'inverno?
Che relazione c'è tra l'inclinazione e l'estate?
Dove è inverno adesso?
Credi che la Terra sia più vicina al Sole d'estate?""",
    "pt": """\
Como a inclinação do eixo muda a luz?
Como você chegou a isso?
Por que você pensa assim?
O que acontece quando o eixo aponta para o Sol?
A Terra está mais perto do Sol no verão?
O que aconteceria se o eixo não fosse inclinado?
Quando a Terra recebe mais luz?
O Sol está mais baixo no inverno?
Qual é a relação entre a inclinação e o verão?
Onde é inverno agora?
Você acha que a Terra está mais perto do Sol no verão?""",
}
EMPTY = {
    "ru": """\
Понятно?
Тебе понятно?
Готов?
Есть вопросы?
Ты понимаешь?
Это из-за наклона оси, да?
Ось наклонена, не так ли?
Ты видел вчера вечером футбольный матч на земле?
Что ось наклон лето свет?
Почему земля свет лето ось?
Какой твой любимый фильм?
Земля вращается.
Что происходит, когда из наклон?
Как дела?""",
    "fr": """\
Tu comprends ?
Ça va ?
D'accord ?
Prêt ?
As-tu des questions ?
C'est clair ?
L'axe est incliné, n'est-ce pas ?
As-tu vu le match de football sur la terre hier soir ?
Que axe inclinaison été lumière ?
Pourquoi terre lumière axe été ?
Quel est ton film préféré ?
La Terre tourne.""",
    "zh": """\
明白吗？
你懂了吗？
准备好了吗？
有问题吗？
地轴是倾斜的，对吧？
你昨晚在地球上看足球比赛了吗？
什么地轴倾斜阳光季节？
为什么地球阳光倾斜地轴？
你最喜欢的电影是什么？
地球在转。
你好吗？""",
    "de": """\
Verstehst du das?
Klar?
Bereit?
Hast du Fragen?
Alles klar?
Die Achse ist geneigt, oder?
Die Achse ist geneigt, nicht wahr?
Hast du gestern Abend das Fußballspiel auf der Erde gesehen?
Was Achse Neigung Sommer Licht?
Warum Erde Licht Achse Sommer?
Was ist dein Lieblingsfilm?
Die Erde dreht sich.""",
    "es": """\
¿Entiendes?
¿Está claro?
¿Listo?
¿Tienes preguntas?
¿De acuerdo?
El eje está inclinado, ¿verdad?
El eje está inclinado, ¿no?
¿Viste anoche el partido de fútbol en la tierra?
¿Qué eje inclinación verano luz?
¿Por qué tierra luz eje verano?
¿Cuál es tu película favorita?
La Tierra gira.""",
    "ar": """\
هل فهمت؟
هل لديك أسئلة؟
حسنا؟
المحور مائل، أليس كذلك؟
هل شاهدت مباراة كرة القدم على الأرض الليلة؟
ماذا المحور ميل الصيف ضوء؟
الأرض تدور.""",
    "it": """\
Capito?
Tutto chiaro?
L'asse è inclinato, vero?
Hai visto ieri sera la partita di calcio sulla terra?
Cosa asse inclinazione estate luce?""",
    "pt": """\
Entendeu?
Tudo claro?
O eixo está inclinado, certo?
Você viu ontem o jogo de futebol na terra?
Que eixo inclinação verão luz?""",
}

APPLES_IN = {
    "de": item(
        "Tom hat 30 Äpfel. Er verkauft 11 und isst 2. Wie viele Äpfel hat er noch?",
        ["17", "19"],
        ["äpfel"],
        language="de",
    ),
    "fr": item(
        "Tom a 30 pommes. Il en vend 11 et en mange 2. Combien de pommes lui reste-t-il ?",
        ["17", "19"],
        ["pommes"],
        language="fr",
    ),
    "es": item(
        "Tom tiene 30 manzanas. Vende 11 y come 2. ¿Cuántas manzanas le quedan?",
        ["17", "19"],
        ["manzanas"],
        language="es",
    ),
    "it": item(
        "Tom ha 30 mele. Ne vende 11 e ne mangia 2. Quante mele gli restano?", ["17", "19"], ["mele"], language="it"
    ),
    "pt": item(
        "Tom tem 30 maçãs. Ele vende 11 e come 2. Quantas maçãs sobram?", ["17", "19"], ["maçãs"], language="pt"
    ),
    "ru": item(
        "У Тома 30 яблок. Он продал 11 и съел 2. Сколько яблок у него осталось?",
        ["17", "19"],
        ["яблоки"],
        language="ru",
    ),
    "zh": item("汤姆有30个苹果。他卖了11个，吃了2个。还剩多少个苹果？", ["17", "19"], ["苹果"], language="zh"),
    "ar": item("لدى توم 30 تفاحة. باع 11 وأكل 2. كم تفاحة بقيت؟", ["17", "19"], ["تفاحة"], language="ar"),
}
"""A problem of numbers in each language."""


REQUESTS = {
    "en": """\
Tell me how you got that.
Please explain your second step.
Check your calculation in the first step.
Tell me why you chose B.
Think about what you would do next.
Can you show me your second step again.
So explain why you think that.
I want you to think about how you got that.""",
    "de": """\
Erkläre mir, wie du darauf gekommen bist.
Bitte erkläre deinen zweiten Schritt.
Überprüfe deine Rechnung im ersten Schritt.
Sag mir, warum du B gewählt hast.
Überleg, was du als Nächstes machen würdest.""",
    "fr": """\
Explique-moi comment tu as obtenu cela.
Explique ta deuxième étape.
Vérifie ton calcul de la première étape.
Dis-moi pourquoi tu as choisi B.""",
    "es": """\
Dime cómo obtuviste eso.
Explica tu segundo paso.
Comprueba tu cálculo del primer paso.
Dime por qué elegiste B.""",
    "it": """\
Dimmi come hai ottenuto questo.
Spiega il tuo secondo passaggio.
Controlla il tuo calcolo nel primo passaggio.
Dimmi perché hai scelto B.""",
    "pt": """\
Diga como você conseguiu isso.
Explique o seu segundo passo.
Verifique o seu cálculo no primeiro passo.
Me diga por que você escolheu B.""",
    "ru": """\
Объясни, как ты это нашёл.
Объясни свой второй шаг.
Проверь свои вычисления в первом шаге.
Скажи, почему ты выбрал Б.""",
    "zh": """\
请解释你是怎么得出来的。
请告诉我你为什么选B。
说说你的第二步是怎么想的。
想一想你为什么这么想。""",
    "ar": """\
اشرح لي كيف حصلت على ذلك.
اشرح خطوتك الثانية.
تحقق من حسابك في الخطوة الأولى.
قل لي لماذا اخترت ب.""",
}
NO_REQUESTS = {
    "en": """\
Try again.
Look again.
Read the question again.
Have another go.
Think about it.
Tell me your name.
Tell me about your weekend.
Show me your passport.
Describe your favorite food.
Tell me why you love pizza.
Explain how you met your wife.
Tell me your answer.
Check this.
Let's go.
Look at my new jacket.""",
    "de": """\
Versuch es noch einmal.
Denk nach.
Sag mir deinen Namen.
Zeig mir deine Wohnung.
Erzähl mir von deinem Wochenende.
Schau mal.""",
    "fr": """\
Essaie encore.
Réfléchis bien.
Dis-moi ton nom.
Montre-moi ton appartement.
Regarde ma nouvelle veste.""",
    "es": """\
Intenta otra vez.
Piensa bien.
Dime tu nombre.
Mira mi chaqueta nueva.
Cuéntame de tus vacaciones.""",
    "it": """\
Prova ancora.
Pensa bene.
Dimmi il tuo nome.
Guarda la mia giacca nuova.
Mostrami il tuo appartamento.""",
    "pt": """\
Tente de novo.
Pense bem.
Olhe a minha jaqueta nova.
Mostre-me o seu apartamento.""",
    "ru": """\
Попробуй ещё раз.
Подумай.
Посмотри на мою новую куртку.
Покажи мне свою квартиру.
Расскажи про свои выходные.""",
    "zh": """\
再想一想。
告诉我你的名字。
看看我的新外套。
请再试一次。""",
    "ar": """\
حاول مرة أخرى.
فكر.
قل لي اسمك.
انظر إلى سترتي الجديدة.""",
}
